import type { Change, Message, Options, Position, Publication, Socket, SocketConstructor, User } from './weir.js'
import { patch, toPoints, toUnits, transform, type Op } from './text'
// A relay and a clock for the tests of an app: no server, no network, no waiting.

/** A relay within the program. It speaks the protocol with clients that connect with its options, and does what a test says. */
export interface FakeRelay {
  /** For connect(relay.url, relay.options). */
  readonly url: string
  readonly options: Options & { WebSocket: SocketConstructor }
  /** Publishes as a backend does. */
  publish(channel: string, data: unknown, p?: Publication): Position
  /** The items of a channel, by group and key. */
  state(channel: string): Record<string, Record<string, any>>
  /** How many sessions follow a channel now. */
  followers(channel: string): number
  /** How many sessions there are. */
  readonly sessions: number
  /** What clients have said, in order; a test may empty it. */
  readonly said: Message[]
  /** Decides about commands from now on: a code such as "forbidden" refuses one. */
  refuse(f?: (m: Message, user: string) => string | undefined | false): void
  /** Answers calls of clients (weir.call). */
  answer(f: (method: string, data: any, user: string) => unknown): void
  /** Ends all connections as a network does that breaks, or with a close code. */
  cut(code?: number, reason?: string): void
  /** No connection can be made until it is online again; those that there are end. */
  offline(): void
  online(): void
  /** What is said from now on arrives so much later, in ms. */
  lag(ms: number): void
  /** Loses the logs and items of a channel, or of all, as a relay does that keeps them in memory and is started anew. */
  lose(channel?: string): void
  /** Tokens in use are refused from now on, and their sessions end. */
  expire(): void
  /** Tokens are good for so long from now on, in ms. */
  life(ms: number | undefined): void
  /** The text of a document; with one, it is edited as somebody else would. */
  document(id: string, text?: string): string
}

interface Log {
  epoch: string
  seq: number
  changes: Change[]
  items: Map<string, Map<string, any>>
  timers: Map<string, any>
  sessions: Set<Session>
}

interface Text {
  text: string
  log: { src: string; id: any; version: number; operation: any }[]
  sessions: Set<Session>
}

interface Session {
  user: string
  token: string
  id: string
  say(m: object): void
  end(code: number, reason: string): void
  hear(m: Message): void
  over(): void
}

const kept = 256 // changes of a channel

/** Who a token stands for: its sub, or the token itself if it is no JWT. */
const subject = (token: string): string => {
  try {
    return JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'))).sub
  } catch {
    return token
  }
}

let count = 0

/** Makes a relay. The token of its options stands for the user "ann"; any other text is a token of the user of that name. */
export function fakeRelay(): FakeRelay {
  const logs = new Map<string, Log>()
  const texts = new Map<string, Text>()
  const sessions = new Set<Session>()
  const keys = new Map<string, Position>() // of idempotency
  const refused = new Set<string>()
  const said: Message[] = []
  let decide: (m: Message, user: string) => string | undefined | false = () => undefined
  let reply: (method: string, data: any, user: string) => unknown = () => null
  let up = true
  let delay = 0
  let lifetime: number | undefined
  /** A way from one end to the other: what goes there arrives in its order, however the lag changes. */
  const way = () => {
    const going: { at: number; arrive: () => void }[] = []
    const wait = () => {
      const ms = going[0].at - Date.now()
      ms > 0 ? setTimeout(next, ms) : queueMicrotask(next)
    }
    const next = () => {
      const { arrive } = going.shift()!
      if (going.length) wait()
      arrive()
    }
    return (arrive: () => void) => {
      if (going.push({ at: Date.now() + delay, arrive }) === 1) wait()
    }
  }

  const log = (channel: string): Log => {
    let l = logs.get(channel)
    if (!l) logs.set(channel, (l = { epoch: 'e' + ++count, seq: 0, changes: [], items: new Map(), timers: new Map(), sessions: new Set() }))
    return l
  }
  const at = ({ epoch, seq }: Log): Position => ({ epoch, seq })
  const items = (l: Log) => Object.fromEntries([...l.items].map(([group, items]) => [group, Object.fromEntries(items)]))
  const publish = (channel: string, data: unknown, { op, group, key, ttl }: Publication = {}): Position => {
    const l = log(channel)
    const does = op ?? (key === undefined ? 'send' : 'set')
    if (key !== undefined) group ??= 'items'
    data = data === undefined ? undefined : JSON.parse(JSON.stringify(data)) // nobody shares what another holds
    const change = { seq: ++l.seq, op: does, group, key, data: does === 'delete' ? undefined : data } as Change
    l.changes.push(change)
    if (l.changes.length > kept) l.changes.shift()
    if (does !== 'send') {
      const held = l.items.get(group!) ?? new Map()
      if (does === 'delete') held.delete(key)
      else held.set(key, does === 'append' ? (held.get(key) ?? '') + data : data)
      held.size ? l.items.set(group!, held) : l.items.delete(group!)
      const timer = group + '/' + key
      if (does !== 'append' || ttl) {
        clearTimeout(l.timers.get(timer))
        l.timers.delete(timer)
      }
      if (ttl) l.timers.set(timer, setTimeout(() => publish(channel, undefined, { op: 'delete', group, key }), ttl))
    }
    const m = { type: 'channel_update', channel, ...change }
    for (const s of l.sessions) s.say(m)
    return at(l)
  }

  /** What is wrong with an append, if anything is. */
  const misplaced = (channel: string, { data, group = 'items', key, offset }: Message) => {
    const text = log(channel).items.get(group)?.get(key) ?? ''
    if (key === undefined || typeof data !== 'string') return { code: 'bad_request', message: 'an append needs a key, and text' }
    if (typeof text !== 'string') return { code: 'not_text', message: 'the item is no text' }
    const { length } = [...text]
    return offset !== undefined && offset !== length && { code: 'wrong_offset', message: `the text has ${length} code points: offset must be ${length}`, offset: length }
  }

  // ---- who is there ----

  const present = (channel: string): User[] => Object.values(items(log('presence:' + channel)).users ?? {}) as User[]
  const attend = (channel: string, user: string) => {
    if (channel.startsWith('presence:') || !user) return
    const n = [...log(channel).sessions].filter((s) => s.user === user).length
    const was = present(channel).find((u) => u.id === user)
    if (!n) return void (was && publish('presence:' + channel, undefined, { op: 'delete', group: 'users', key: user }))
    publish('presence:' + channel, { id: user, name: user, avatar: '', status: 'online', joinedAt: was?.joinedAt ?? Date.now(), connections: n }, { group: 'users', key: user })
  }
  const leave = (channel: string, s: Session) => {
    if (log(channel).sessions.delete(s)) attend(channel, s.user)
  }

  // ---- sessions ----

  const session = (s: Session, query: URLSearchParams) => {
    let timer: any
    const lives = () => {
      clearTimeout(timer)
      if (lifetime) timer = setTimeout(() => s.end(4001, 'token expired'), lifetime)
    }
    const subscribe = (channel: string, id: unknown, position?: Position) => {
      const l = log(channel)
      const first = l.changes[0]?.seq ?? l.seq + 1
      const recovered = !!position && position.epoch === l.epoch && position.seq <= l.seq && position.seq + 1 >= first
      l.sessions.add(s)
      attend(channel, s.user)
      s.say({
        type: 'subscribed', id, channel, position: at(l), recovered,
        ...(recovered ? { changes: l.changes.filter((c) => c.seq > position.seq) } : { state: items(l), lost: !!position }),
      })
    }
    s.hear = (m) => {
      const { type, id, channel } = m
      const ok = (more: object = {}) => s.say({ type: 'ok', id, ...more })
      const code = type !== 'ping' && decide(m, s.user)
      if (code) return s.say({ type: 'error', id, code, message: 'refused by the test: ' + code, retryable: false })
      switch (type) {
        case 'ping':
          return s.say({ type: 'pong', id })
        case 'refresh':
          s.token = m.token
          lives()
          return ok({ expiresIn: lifetime })
        case 'subscribe':
          return subscribe(channel, id, m.position)
        case 'unsubscribe':
          leave(channel, s)
          return ok()
        case 'publish': {
          const known = m.idempotencyKey && keys.get(m.idempotencyKey)
          if (known) return ok({ position: known })
          const wrong = m.op === 'append' && misplaced(channel, m)
          if (wrong) return s.say({ type: 'error', id, retryable: false, ...wrong })
          ok({ position: { ...at(log(channel)), seq: log(channel).seq + 1 } }) // the answer may come before the change
          return void keys.set(m.idempotencyKey, publish(channel, m.data, m as Publication))
        }
        case 'history': {
          const all = log(channel).changes.filter((c) => c.seq < (m.before ?? Infinity))
          const changes = all.slice(-(m.limit ?? 100))
          return s.say({ type: 'history', id, changes, more: changes.length < all.length })
        }
        case 'presence':
          return s.say({ type: 'presence', id, users: present(channel) })
        case 'call':
          return void Promise.resolve().then(() => reply(m.method, m.data, s.user)).then(
            (data) => s.say({ type: 'result', id, data }),
            (err) => s.say({ type: 'error', id, code: 'call_failed', message: '' + err, retryable: false }),
          )
      }
      ok()
    }
    s.over = () => {
      clearTimeout(timer)
      for (const channel of [...logs.keys()]) leave(channel, s)
    }
    lives()
    const channels = query.getAll('channel')
    const own = s.user ? 'user:' + s.user : undefined
    s.say({
      type: 'connected', connectionId: s.id, userId: s.user, heartbeat: 25000, window: 50, expiresIn: lifetime, channels: channels.length || undefined,
      limits: { message: 65536, commands: 0, subscriptions: 128, address: 4096 }, channel: own, position: own && at(log(own)),
    })
    channels.forEach((channel, i) => {
      const [, epoch, seq] = /^(.*):(\d+)$/.exec(query.getAll('position')[i] ?? '') ?? []
      const m = { type: 'subscribe', channel, position: epoch ? { epoch, seq: +seq } : undefined }
      said.push(m)
      const code = decide(m, s.user)
      if (code) s.say({ type: 'error', channel, code, message: 'refused by the test: ' + code, retryable: false })
      else subscribe(channel, undefined, m.position)
    })
  }

  // ---- documents ----

  const paper = (id: string): Text => {
    let t = texts.get(id)
    if (!t) texts.set(id, (t = { text: '', log: [], sessions: new Set() }))
    return t
  }
  const write = (t: Text, src: string, id: unknown, version: number, operation: any): number => {
    const before = t.log.slice(0, version).reduce((s, o) => patch(s, toUnits(o.operation, s)), '')
    let text = before
    let mine: Op = toUnits(operation, before)
    for (const o of t.log.slice(version)) {
      const other = toUnits(o.operation, text)
      mine = transform(mine, other, true)
      text = patch(text, other)
    }
    const entry = { src, id, version: t.log.length + 1, operation: toPoints(mine, t.text) }
    t.text = patch(t.text, mine)
    t.log.push(entry)
    for (const s of t.sessions) if (s.id !== src) s.say({ type: 'operation', ...entry, connectionId: src, userId: s.user })
    return entry.version
  }
  const collaborate = (s: Session, id: string, query: URLSearchParams) => {
    const t = paper(id)
    const src = query.get('src') ?? s.id
    t.sessions.add(Object.assign(s, { id: src }))
    s.hear = (m) => {
      if (m.type === 'ping') s.say({ type: 'pong', id: m.id })
      else if (m.type === 'operation') {
        const done = t.log.find((o) => o.src === src && o.id === m.id)
        s.say({ type: 'ok', id: m.id, version: done ? done.version : write(t, src, m.id, m.version, m.operation) })
      } else if (m.type === 'cursor') for (const o of t.sessions) if (o !== s) o.say({ ...m, connectionId: src, userId: s.user, name: s.user, color: '#06c' })
    }
    s.over = () => void t.sessions.delete(s)
    const from = query.get('version')
    s.say({ type: 'connected', connectionId: src, userId: s.user, write: true })
    s.say({ type: 'document', epoch: 'd', version: t.log.length, cursors: [], ...(from === null ? { text: t.text } : { operations: t.log.slice(+from) }) })
  }

  const WebSocket = function (this: Socket, address: string, protocols: string[]) {
    const url = new URL(address)
    const [there, back] = [way(), way()]
    let open = true
    const socket: Socket = {
      onmessage: null, onclose: null, onerror: null,
      send(text) {
        if (open) there(() => {
          if (!open) return
          const m = JSON.parse(text)
          if (m.type !== 'ping') said.push(m)
          s.hear(m)
        })
      },
      close: () => shut(1000, ''),
    }
    const token = (protocols[1] ?? '').replace(/^token\./, '')
    const shut = (code: number, reason: string) => {
      if (!open) return
      open = false
      if (sessions.delete(s)) s.over()
      queueMicrotask(() => socket.onclose?.({ code, reason }))
    }
    const s: Session = {
      user: subject(token), token, id: 'c' + ++count, end: shut, hear() {}, over() {},
      say(m) {
        const data = JSON.stringify(m)
        back(() => open && socket.onmessage?.({ data }))
      },
    }
    there(() => {
      if (!open) return
      if (!up) return shut(1006, 'offline')
      if (refused.has(token)) return shut(4001, 'token expired')
      sessions.add(s)
      const document = /\/documents\/([^/]+)\/collaborate$/.exec(url.pathname)
      document ? collaborate(s, decodeURIComponent(document[1]), url.searchParams) : session(s, url.searchParams)
    })
    return socket
  } as unknown as SocketConstructor

  const end = (code = 1006, reason = '') => [...sessions].forEach((s) => s.end(code, reason))
  return {
    url: 'fake://relay', // nothing else can be asked there: a client that falls back to HTTP fails at once
    options: { WebSocket, token: 'ann' },
    publish,
    state: (channel) => items(log(channel)),
    followers: (channel) => logs.get(channel)?.sessions.size ?? 0,
    get sessions() {
      return sessions.size
    },
    said,
    refuse(f = () => undefined) {
      decide = f
    },
    answer(f) {
      reply = f
    },
    cut: end,
    offline() {
      up = false
      end()
    },
    online() {
      up = true
    },
    lag(ms) {
      delay = ms
    },
    lose(channel) {
      for (const name of channel === undefined ? [...logs.keys()] : [channel]) {
        logs.get(name)?.timers.forEach((t) => clearTimeout(t))
        logs.delete(name)
      }
      end(1012, 'the relay has been started anew')
    },
    expire() {
      for (const s of [...sessions]) {
        refused.add(s.token)
        s.end(4001, 'token expired')
      }
    },
    life(ms) {
      lifetime = ms
    },
    document(id, text) {
      const t = paper(id)
      if (text !== undefined && text !== t.text) write(t, 'test', ++count, t.log.length, toPoints(whole(t.text, text), t.text))
      return t.text
    },
  }
}

/** The operation that puts one text in the place of another. */
const whole = (before: string, after: string): Op => [...(after ? [after] : []), ...(before ? [{ d: before.length }] : [])] as Op

/** A clock that stands still until a test moves it. */
export interface FakeClock {
  /** Moves it by so many ms: timers that are due fire in their order, and what they cause happens before the next one. */
  advance(ms: number): Promise<void>
  /** Lets happen what can without time passing. */
  settle(): Promise<void>
  /** Gives the program its own time back. */
  restore(): void
}

/** Takes the place of setTimeout, setInterval and Date until it is restored. */
export function fakeClock(start: number | Date = Date.now()): FakeClock {
  const real = { setTimeout, clearTimeout, setInterval, clearInterval, Date }
  let time = +start
  let next = 0
  const timers = new Map<number, { at: number; every?: number; f: () => void }>()
  const set = (f: (...x: any[]) => void, ms = 0, every: boolean, args: unknown[]) => {
    const id = ++next
    const wait = Math.max(every ? 1 : 0, +ms || 0)
    timers.set(id, { at: time + wait, every: every ? wait : undefined, f: () => f(...args) })
    return id
  }
  const clear = (id: any) => void timers.delete(id)
  class FakeDate extends real.Date {
    constructor(...x: any[]) {
      super(...((x.length ? x : [time]) as [number]))
    }
    static now() {
      return time
    }
  }
  Object.assign(globalThis, {
    setTimeout: (f: () => void, ms?: number, ...x: unknown[]) => set(f, ms, false, x),
    setInterval: (f: () => void, ms?: number, ...x: unknown[]) => set(f, ms, true, x),
    clearTimeout: clear, clearInterval: clear, Date: FakeDate,
  })
  const settle = async () => {
    for (let i = 0; i < 5; i++) await new Promise<void>((done) => void real.setTimeout(done))
  }
  return {
    settle,
    async advance(ms) {
      const end = time + ms
      await settle()
      for (;;) {
        const due = [...timers].filter(([, t]) => t.at <= end).sort(([i, a], [j, b]) => a.at - b.at || i - j)[0]
        if (!due) break
        const [id, t] = due
        time = Math.max(time, t.at)
        if (t.every) t.at += t.every
        else timers.delete(id)
        t.f()
        await settle()
      }
      time = end
    },
    restore: () => void Object.assign(globalThis, real),
  }
}
