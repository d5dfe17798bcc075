import { connect as connectAlone } from './weir.js'
import type { Change, Channel, Options, Position, Weir } from './weir.js'
import { parse, random, stringify } from './short'
import type { Message, Socket, SocketConstructor } from './wire'
// One connection for all tabs of an origin. One of them, whichever holds a lock, has it, and is a relay for the others: it speaks the
// protocol with their clients over a BroadcastChannel. When it goes, the next one in the lock's queue takes its place.

/** What a tab says to the one that has the connection: text is a message, none with the first; end is its last word. */
type Said = { from: string; text?: string; end?: boolean }
/** What tabs hear: a message for one of them (which follows a channel from then on), its end, what is new in a channel, or that there is somebody new to say things to. */
type Heard = { to?: string; text?: string; joins?: string; shut?: [code: number, reason: string]; news?: string; lead?: boolean }

/** A channel as the tab that has the connection follows it. */
interface Hosted {
  channel: Channel
  users: Set<string>
  /** Subscribes that wait until it is known where the channel stands. */
  asked: Map<string, Message>
  live: boolean
  /** The last changes, those after seq since; epochs are those in which they can be asked for. */
  log: Change[]
  since: number
  epochs: Set<string>
}

const kept = 1000 // changes of a channel, for a tab that comes from another leader
const id = () => random().toString(36).slice(2) + random().toString(36).slice(2)

/** Whose token it is: tabs of different users share nothing. */
const subject = (protocols: string[]): string => {
  try {
    const payload = protocols[1].split('.')[2].replace(/-/g, '+').replace(/_/g, '/')
    return parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (c) => c.charCodeAt(0)))).sub
  } catch {
    return protocols[1] ?? ''
  }
}

/** Connects like connect of weir.js, but all tabs that do so for the same relay and user share one connection. Without Web Locks, which need a secure page, each has its own. */
export const connect = (url: string | URL = location.origin, options: Options = {}): Weir => {
  const Real = options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined)
  const locks = globalThis.navigator?.locks
  if (!locks || !globalThis.BroadcastChannel || !Real || options.transport) return connectAlone(url, options)
  const base = ('' + url).replace(/\/$/, '')
  const running = new Set<string>() // names for which this page would have the connection
  const stop = new AbortController()

  const run = (name: string) => {
    if (running.has(name)) return
    running.add(name)
    locks.request(name, { signal: stop.signal }, () => host(name, base, options, stop.signal)).catch(() => {}).finally(() => running.delete(name))
  }
  const tab = (address: string, protocols: string[]): Socket => {
    const name = `weir ${base} ${subject(protocols)}`
    const me = id()
    const bus = new BroadcastChannel(name)
    const channels = new Set<string>()
    let held = false // the lock is
    let met = false // somebody has the connection
    let leave = () => {}
    const say = (m: Omit<Said, 'from'>) => bus.postMessage({ ...m, from: me } satisfies Said)
    const end = () => {
      if (!bus.onmessage) return
      bus.onmessage = null
      leave()
      say({ end: true })
      bus.close()
    }
    const socket: Socket = { onmessage: null, onclose: null, onerror: null, send: (text) => bus.onmessage && say({ text }), close: end }
    const closed = (code: number, reason: string) => {
      end()
      socket.onclose?.({ code, reason })
    }
    bus.onmessage = ({ data }: { data: Heard & Said }) => {
      if (data.lead && met) closed(4100, 'retry=10') // who is new knows nothing of what was asked
      else if (data.lead && held) say({})
      else if (data.news ? channels.has(data.news) : data.to === me) {
        met = true
        if (data.joins) channels.add(data.joins)
        if (data.shut) closed(...data.shut)
        else socket.onmessage?.({ data: data.text })
      }
    }
    // That it ends tells that the tab is gone.
    locks.request(`${name} ${me}`, () => new Promise<void>((done) => {
      leave = done
      held = true
      if (!bus.onmessage) return done() // it was closed meanwhile
      say({})
      run(name)
    })).catch(() => {})
    return socket
  }
  const make = function (address: string, protocols: string[]) {
    return new URL(address).pathname === new URL(base + '/ws').pathname ? tab(address, protocols) : new Real(address, protocols)
  } as unknown as SocketConstructor
  const weir = connectAlone(url, { ...options, WebSocket: make })
  const { close } = weir
  weir.close = () => {
    close()
    stop.abort()
  }
  return weir
}

/** Has the connection, until the signal, or until the relay does not want it. */
function host(name: string, base: string, options: Options, until: AbortSignal): Promise<void> {
  if (until.aborted) return Promise.resolve()
  const bus = new BroadcastChannel(name)
  const core = connectAlone(base, options)
  const tabs = new Set<string>()
  const hosted = new Map<string, Hosted>()
  let data: any
  const tell = (to: string, m: object, joins?: string) => tabs.has(to) && bus.postMessage({ to, text: stringify(m), joins } satisfies Heard)
  const news = (channel: string, m: object) => bus.postMessage({ news: channel, text: stringify(m) } satisfies Heard)
  const greet = (to: string) =>
    tell(to, { type: 'connected', connectionId: core.connectionId, userId: core.userId, limits: core.limits, channel: core.userId ? core.me.name : undefined, data })

  const leave = (from: string, channel: string) => {
    const h = hosted.get(channel)
    if (!h) return
    h.users.delete(from)
    h.asked.delete(from)
    if (h.users.size || h.asked.size) return
    h.channel.close()
    hosted.delete(channel)
  }
  const drop = (from: string) => {
    tabs.delete(from)
    for (const channel of [...hosted.keys()]) leave(from, channel)
  }
  const shut = (code: number, reason: string) => {
    for (const to of tabs) bus.postMessage({ to, shut: [code, reason] } satisfies Heard)
    tabs.clear()
    for (const h of hosted.values()) {
      h.live = false
      h.users.clear()
      h.asked.clear()
    }
  }
  const snapshot = (h: Hosted) => Object.fromEntries([...h.channel.state].map(([group, items]) => [group, Object.fromEntries(items)]))
  const answer = (h: Hosted, from: string, { id, channel, position: p }: Message) => {
    const position = h.channel.position!
    const known = p && h.epochs.has(p.epoch) && p.seq >= h.since && p.seq <= position.seq
    h.users.add(from)
    tell(from, {
      type: 'subscribed', id, channel, position, recovered: !!known,
      ...(known ? { changes: h.log.filter((c) => c.seq > p.seq) } : { state: snapshot(h), lost: !!p }),
    }, channel)
  }
  const follow = (name: string, from?: Position): Hosted => {
    const channel = core.channel(name, from)
    const h: Hosted = { channel, users: new Set(), asked: new Map(), live: false, log: [], since: from?.seq ?? 0, epochs: new Set(from && [from.epoch]) }
    hosted.set(name, h)
    channel.on('change', (c) => {
      h.log.push(c)
      if (h.log.length > kept) h.since = h.log.shift()!.seq
      if (h.live) news(name, { ...c, type: 'channel_update', channel: name })
    })
    channel.on('sync', ({ recovered, lost }) => {
      const position = channel.position!
      if (!recovered && !(h.epochs.has(position.epoch) && !h.log.length && h.since === position.seq)) {
        // What came so far were the differences, if anything.
        h.log = []
        h.since = position.seq
        h.epochs.clear()
      }
      h.epochs.add(position.epoch)
      if (h.live) return news(name, { type: 'resync', channel: name, position, state: snapshot(h), lost })
      h.live = true
      h.asked.forEach((m, from) => answer(h, from, m))
      h.asked.clear()
    })
    channel.on('error', (m) => {
      hosted.delete(name)
      h.asked.forEach((asked, from) => tell(from, { retryable: false, ...m, type: 'error', id: asked.id, channel: name }))
      if (h.users.size) news(name, { code: m.code, reason: m.reason ?? m.message, type: 'unsubscribed', channel: name })
    })
    return h
  }

  const hear = (from: string, m: Message) => {
    const { id, type, channel } = m
    switch (type) {
      case 'ping':
        return tell(from, { type: 'pong', id })
      case 'refresh': // the connection has a token of its own
        return tell(from, { type: 'ok', id })
      case 'unsubscribe':
        leave(from, channel)
        return tell(from, { type: 'ok', id })
      case 'subscribe': {
        const h = hosted.get(channel) ?? follow(channel, m.position)
        if (h.live) answer(h, from, m)
        else h.asked.set(from, m)
        return
      }
    }
    const { id: _, ...command } = m
    core.command(command as Message).then(
      (r) => tell(from, { ...r, id }),
      (err) => tell(from, { type: 'error', id, code: err.code ?? 'internal', message: err.message, retryable: !!err.retryable }),
    )
  }
  const gone = new AbortController()
  bus.onmessage = ({ data: { from, text, end } }: { data: Said }) => {
    if (!from) return
    if (end) return drop(from)
    if (text !== undefined) return tabs.has(from) && hear(from, parse(text))
    if (tabs.has(from)) return
    tabs.add(from)
    locksOf(`${name} ${from}`, gone.signal, () => drop(from))
    tell(from, { type: 'pong' }) // there is somebody
    if (core.status === 'open') greet(from)
  }
  core.on('connected', (m) => {
    data = m.data
    tabs.forEach(greet)
  })
  return new Promise<void>((done) => {
    const resign = (code: number, reason: string) => {
      shut(code, reason)
      gone.abort()
      core.close()
      bus.close()
      done()
    }
    let ended = false
    let open = false
    core.on('status', ({ status, reason }) => {
      if (ended) return
      if (status === 'closed') {
        ended = true
        resign(+(reason.match(/\((\d+)\)$/)?.[1] ?? 1000), reason)
      } else if (open && status !== 'open') shut(4100, 'retry=100') // they come back, and wait for the connection
      open = status === 'open'
    })
    until.addEventListener('abort', () => {
      if (!ended) {
        ended = true
        resign(4100, 'retry=10')
      }
    })
    bus.postMessage({ lead: true } satisfies Heard)
  })
}

/** Calls f when a lock is free: whoever held it is gone. */
const locksOf = (name: string, signal: AbortSignal, f: () => void) => void navigator.locks.request(name, { signal }, f).catch(() => {})
