import { assign, later, never, random, stringify } from './short'
import { channel, type Channel, type Inner, type Position } from './channel'
import { emitter, type On } from './emitter'
import { link, type Link, type Status } from './link'
import { openSocket, openStream, type Message, type Opener, type SocketConstructor, type Wire } from './wire'

export interface Options {
  /** A token, or where to get one: asked again before it expires, and when the relay does not take it. */
  token?: string | (() => string | Promise<string>)
  /** Without a word a WebSocket, and where none gets through an event stream together with POST; sse: only that. */
  transport?: 'sse'
  /** In Node 20: import WebSocket from 'ws'. */
  WebSocket?: SocketConstructor
}

export interface ClientEvents {
  status: { status: Status; reason: string }
  connected: { connectionId: string; userId: string }
  error: { code: string; message: string }
}

/** An error of the relay, or of a connection that was lost before the answer came. */
export interface WeirError extends Error {
  code: string
  retryable: boolean
}

/** A client of a relay. */
export interface Weir {
  readonly status: Status
  readonly userId: string
  readonly connectionId: string
  on: On<ClientEvents>
  /** Follows a channel, from a position or from now. Asked again for the same name it answers the same channel. */
  channel(name: string, from?: Position): Channel
  /** The user's own channel; its name is known once connected. */
  readonly me: Channel
  /** Tells backends and systems of an event: now, or not at all. */
  emit(topic: string, data: unknown): Promise<unknown>
  /** Gives a command of the protocol and answers what the relay does. It waits for a connection. */
  command(m: Message): Promise<Message>
  /** Follows a WebSocket route that speaks messages of its own, such as /analytics/live. A path that is a function is asked before each connection. */
  live(path: string | (() => string), each: (m: Message) => void, status?: (s: Status, reason: string) => void): Link
  /** The token in use, for requests of one's own. */
  token(): Promise<string>
  close(): void
}

type Pending = [m: Message, done: (m: Message) => void, fail: (err: Error) => void, sent?: boolean]

const headers = (token: string): Record<string, string> => (token ? { authorization: 'Bearer ' + token } : {})

/** Connects to a relay: the one that the page came from, or that of a URL. */
export function connect(url: string | URL = location.origin, options: Options = {}): Weir {
  const base = ('' + url).replace(/\/$/, '')
  const { token, transport } = options
  const make = options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined)
  const [on, tell] = emitter<ClientEvents>()
  const channels = new Map<string, Inner>() // the user's own under no name
  const pending = new Map<string, Pending>() // by id
  const links = new Set<Link>()
  const prefix = random().toString(36).slice(2) // of what must be unique among all clients
  let count = 0
  let ownName = ''
  let status: Status = 'connecting'
  let userId = ''
  let connectionId = ''

  // ---- tokens ----

  // A token is kept until it is refused, or three quarters of its life are over: then another takes its place.
  let held: Promise<string> | undefined
  let renewal: any
  const fresh = (): Promise<string> =>
    (held ??= (async () => {
      try {
        return (await (typeof token === 'function' ? token() : token)) ?? ''
      } catch (err) {
        held = undefined
        throw err
      }
    })())
  const expires = (ms?: number) => {
    never(renewal)
    if (ms! < 2e9) renewal = later(renew, ms! * (0.7 + random() * 0.1))
  }
  const renew = async () => {
    held = undefined
    try {
      const m = { type: 'refresh', token: await fresh() }
      if (status === 'open') expires((await command(m)).expiresIn)
    } catch (err) {
      tell('error', { code: 'token', message: '' + err })
      expires(2e4)
    }
  }
  const refused = () => {
    held = undefined
    return typeof token === 'function'
  }

  // ---- what is said ----

  const unique = () => prefix + ++count
  const command = (m: Message): Promise<Message> =>
    new Promise((done, no) => {
      const id = '' + ++count
      m = { ...m, id }
      if (status === 'closed' || pending.size > 999) return no(lost)
      pending.set(id, [m, done, no])
      say(m)
    })
  const lost = assign(Error('connection lost'), { code: 'connection_lost', retryable: true })
  const say = (m: Message) => status === 'open' && send(m) // else when it is
  const send = (m: Message) => {
    const p = pending.get(m.id)
    if (p) p[3] = true
    main.send(m)
  }
  const follow = (c: Inner): Message => ({ type: 'subscribe', id: 's' + c.name, channel: c.name, position: c.position })
  const all = () => [...channels.values()].filter((c) => c.name)

  // ---- what is heard ----

  const keyOf = (name = '') => (name === ownName ? '' : name)
  const find = (name?: string) => channels.get(keyOf(name))
  const lose = (name: string, m: any) => {
    const c = find(name)
    channels.delete(keyOf(name))
    c?.lost_(m)
  }
  const open = (name: string, from?: Position): Channel => {
    let c = find(name)
    if (!c) {
      c = channel(name || ownName, from, command, unique, () => {
        if (find(c!.name) !== c) return
        c!.live_ = !channels.delete(keyOf(c!.name))
        say({ type: 'unsubscribe', channel: c!.name })
      })
      channels.set(keyOf(name), c)
      say(follow(c))
    }
    return c
  }
  const hear = (m: Message) => {
    const c = find(m.channel)
    const p = pending.get(m.id)
    switch (m.type) {
      case 'connected':
        ;({ userId, connectionId, channel: ownName } = m as never)
        assign(channels.get('') ?? {}, { name: ownName })
        expires(m.expiresIn)
        status = 'open'
        // The relay takes a hundred commands a second.
        ;[...all().map(follow), ...[...pending.values()].filter((p) => !p[3]).map((p) => p[0])].forEach((one, i) =>
          i < 100 ? send(one) : later(() => connectionId === m.connectionId && send(one), i * 12))
        tell('connected', m as never)
        return tell('status', { status, reason: '' })
      case 'batch':
        return m.messages.forEach((one: any) => (m.channel ? c?.take_(one) : hear(one)))
      case 'channel_update':
      case 'update':
        return c?.take_(m as never)
      case 'subscribed':
      case 'resync':
        return c?.stand_(m)
      case 'unsubscribed':
        return lose(m.channel, m)
      case 'error':
        if (p) break
        if (('' + m.id)[0] !== 's') tell('error', m as never)
        else if (!m.retryable) lose(m.id.slice(1), m)
        else
          later(() => {
            const c = find(m.id.slice(1))
            if (c) say(follow(c))
          }, 2e3 * (1 + random()))
    }
    if (!p) return
    pending.delete(m.id)
    if (m.type === 'error') p[2](assign(Error(m.message), m))
    else p[1](m)
  }
  const told = (s: Status, reason: string) => {
    if (s === 'open') return // when the relay has said who we are
    status = s
    all().forEach((c) => (c.live_ = false))
    for (const [id, p] of pending) {
      // An event is for now; whether it has arrived nobody knows.
      if (s === 'closed' || /event|message|refresh/.test(p[0].type)) {
        pending.delete(id)
        p[2](lost)
      }
      p[3] = false
    }
    tell('status', { status, reason })
  }

  // ---- connections ----

  const join = (openers: Opener[], hear: (m: Message) => void, told: (s: Status, reason: string) => void): Link => {
    const l = link(fresh, refused, openers, hear, (s, reason) => {
      if (s === 'closed') links.delete(l)
      told(s, reason)
    })
    links.add(l)
    return l
  }
  const socket = (path: string | (() => string)): Opener[] =>
    make ? [(token, hear, end) => openSocket(make, base + (typeof path === 'string' ? path : path()), token, hear, end)] : []
  const live: Weir['live'] = (path, each, status = () => {}) => join(socket(path), each, status)

  // The channels by an event stream, which is opened anew when they are others, and POST for what is said.
  const stream: Opener = (token, hear, end) => {
    let wire: Wire | undefined
    let following: string | undefined
    let start = () => {
      const names = '' + all().map((c) => c.name)
      if (following === names) return
      wire?.[1]()
      following = names
      const query = all().map((c) => new URLSearchParams({ channel: c.name, position: c.position ? c.position.epoch + ':' + c.position.seq : '' }))
      const mine: Wire = (wire = openStream(base + '/sse?' + query.join('&'), headers(token), (m) => mine === wire && hear(m), (code, reason) => mine === wire && end(code, reason)))
    }
    const post = async (m: Message) => {
      const r = await fetch(base + '/command', { method: 'POST', headers: { 'content-type': 'application/json', ...headers(token) }, body: stringify(m) })
      const answer = await r.json()
      if (answer.id === m.id) hear(answer)
      else end(r.status === 401 ? 4001 : 1013, answer.title)
    }
    start()
    return [
      (m) => {
        if (m.type === 'refresh') {
          token = m.token
          following = undefined
          hear({ type: 'ok', id: m.id })
        }
        if (/scribe|refresh/.test(m.type)) queueMicrotask(() => start())
        else if (m.type !== 'ping') post(m).catch((err) => end(1006, '' + err))
      },
      () => {
        wire![1]()
        start = () => {}
      },
    ]
  }

  const main = join([...(transport ? [] : socket('/ws')), stream], hear, told)

  // A machine that wakes, and a network that comes back: find out at once what became of the connections.
  const wake = () => links.forEach((l) => l.wake_())
  const stop = new AbortController()
  globalThis.addEventListener?.('online', wake, stop)
  globalThis.document?.addEventListener('visibilitychange', wake, stop)

  return {
    get status() {
      return status
    },
    get userId() {
      return userId
    },
    get connectionId() {
      return connectionId
    },
    on,
    channel: open,
    get me() {
      return open('')
    },
    emit: (topic, data) => command({ type: 'event', topic, data }),
    command,
    live,
    token: fresh,
    close() {
      never(renewal)
      stop.abort()
      links.forEach((l) => l.close())
    },
  }
}
