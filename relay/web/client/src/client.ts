import { assign, later, random } from './short'
import { followed, type Channel, type Followed, type Position } from './channel'
import type { Doc } from './document'
import { emitter, type On } from './emitter'
import { lateDocument } from './late'
import { link, type Link, type Status } from './link'
import { failure, queue, type Limits } from './queue'
import { openStream } from './stream'
import { tokens, type Source } from './tokens'
import { address, openSocket, type Message, type Opener, type SocketConstructor } from './wire'

export interface Options {
  /** A token, or where to get one: asked again before it expires, when the relay does not take it, and when none has come within 10 s. */
  token?: Source
  /** Without a word a WebSocket, and where none gets through an event stream together with POST; sse: only that. */
  transport?: 'sse'
  /** In Node 20: import WebSocket from 'ws'. */
  WebSocket?: SocketConstructor
}

export interface ClientEvents {
  status: { status: Status; reason: string }
  connected: { connectionId: string; userId: string; data?: any }
  error: { code: string; message: string }
}

/** A client of a relay. */
export interface Weir {
  readonly status: Status
  readonly userId: string
  readonly connectionId: string
  /** What the relay takes from one client; known once connected. */
  readonly limits: Limits | undefined
  on: On<ClientEvents>
  /** Follows a channel, from a position or from now. Whoever asks for one closes it, and it ends with the last of them. */
  channel<S = any, E = any>(name: string, from?: Position): Channel<S, E>
  /** The user's own channel; its name is known once connected. */
  readonly me: Channel
  /** Tells backends and systems of an event: now, or not at all. */
  emit(topic: string, data: unknown): Promise<unknown>
  /** Gives a command of the protocol and answers what the relay does. It waits for a connection. */
  command(m: Message): Promise<Message>
  /** Asks the backend, where hooks are configured, and answers its result. Calls that are ordered end one after the other. */
  call<T = any>(method: string, data?: unknown, options?: { ordered?: boolean }): Promise<T>
  /** Follows a WebSocket route that speaks messages of its own, such as /analytics/live. A path that is a function is asked before each connection. */
  live(path: string | (() => string), each: (m: Message) => void, status?: (s: Status, reason: string) => void): Link
  /** Opens a shared document; weir-documents.js, which lies beside this module, is loaded for the first one. */
  document(id: string): Doc
  /** The token in use, for requests of one's own. */
  token(): Promise<string>
  close(): void
}

const headers = (token: string): Record<string, string> => (token ? { authorization: 'Bearer ' + token } : {})
const names = /^(?!\.)[\w.:/@~=-]{1,255}$/ // of channels

/** Connects to a relay: the one that the page came from, or that of a URL. */
export function connect(url: string | URL = location.origin, options: Options = {}): Weir {
  const base = ('' + url).replace(/\/$/, '')
  const make = options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined)
  const [on, tell] = emitter<ClientEvents>()
  const channels = new Map<string, Followed>() // the user's own under no name
  const links = new Set<Link>()
  const prefix = random().toString(36).slice(2) // of what must be unique among all clients
  let count = 0
  let ownName = ''
  let status: Status = 'connecting'
  let userId = ''
  let connectionId = ''
  let limits: Limits | undefined
  let resume = '' // what lets us come back once without being asked who we are
  let streaming = false // the connection is an event stream
  let named = new Map<string, Followed>() // what the address of the WebSocket has named

  // ---- what is said ----

  const unique = () => prefix + ++count
  const said = queue((text, m) => main.send(m, text), unique)
  const token = tokens(
    options.token,
    async (token) => (status === 'open' ? (await said.ask({ type: 'refresh', token })).expiresIn : undefined),
    (err: any) => err.code !== 'connection_lost' && tell('error', { code: 'token', message: '' + err }),
  )
  const follow = (c: Followed) => () =>
    find(c.name_) === c && { type: 'subscribe', id: (c.asked_ = unique()), channel: c.name_, position: c.position_() }
  const all = () => [...channels.values()].filter((c) => c.name_)
  const others = () => all().filter((c) => c.name_ !== ownName) // which count

  // ---- what is heard ----

  const keyOf = (name = '') => (name === ownName ? '' : name)
  const find = (name?: string) => channels.get(keyOf(name))
  const lose = (c: Followed, m: { code: string }) => {
    const key = keyOf(c.name_)
    if (channels.get(key) === c) channels.delete(key)
    c.lost_(m)
  }
  const full = () => failure('too_many', `this connection may follow ${limits!.subscriptions} channels`, true)
  const anonymous = () => failure('unauthorized', 'anonymous clients have no channel of their own')
  const open = (name: string, from?: Position): Channel => {
    let c = find(name)
    if (!c) {
      const own = (c = followed(name || ownName, from, said.ask, () => {
        if (find(own.name_) !== own) return
        channels.delete(keyOf(own.name_))
        own.live_ = false
        if (own.asked_) said.first(() => ({ type: 'unsubscribe', id: unique(), channel: own.name_ }))
      }))
      const no =
        status === 'closed' ? failure('connection_lost', 'the client is closed')
        : name && !names.test(name) ? failure('bad_channel', 'a channel is named by 1 to 255 of A-Z a-z 0-9 _ - . : / @ ~ =, and not by a dot first')
        : !own.name_ && connectionId ? anonymous()
        : keyOf(name) && others().length >= limits?.subscriptions! ? full()
        : undefined
      if (no) queueMicrotask(() => own.lost_(no))
      else {
        channels.set(keyOf(name), own)
        said.first(follow(own))
      }
    }
    return c.join_()
  }
  const hear = (m: Message): void => {
    const c = find(m.channel)
    switch (m.type) {
      case 'connected': {
        ;({ userId, connectionId, limits } = m as never)
        const me = channels.get('') ?? channels.get(m.channel)
        if (me && m.channel) {
          channels.delete(m.channel)
          channels.set('', assign(me, { name_: m.channel }))
        } else if (me) lose(me, anonymous())
        ownName = m.channel ?? ''
        resume = m.resume ?? ''
        token.expires(m.expiresIn)
        status = 'open'
        others().slice(limits?.subscriptions ?? Infinity).forEach((c) => lose(c, full()))
        // A relay that reads no addresses is asked for all; what was closed meanwhile is not followed.
        if (!m.channels) named.clear()
        said.open(limits, streaming, [
          ...all().filter((c) => named.get(c.name_) !== c).map(follow),
          ...[...named.keys()].map((channel) => () => !find(channel) && { type: 'unsubscribe', id: unique(), channel }),
        ])
        tell('connected', { userId, connectionId, data: m.data })
        return tell('status', { status, reason: '' })
      }
      case 'batch':
        return m.messages.forEach((one: any) => (m.channel ? c?.take_(one) : hear(one)))
      case 'channel_update':
      case 'update':
        return c?.take_(m as never)
      case 'subscribed':
        said.pace(m.channel, m.rate ?? 0)
        // What another subscription to the same channel was answered is not for this one.
        if (m.id === undefined ? streaming || named.get(m.channel) === c : m.id === c?.asked_) c?.stand_(m)
        break
      case 'resync':
        if (streaming || c?.live_) c?.stand_(m)
        return
      case 'unsubscribed':
        return c && lose(c, m as never)
      case 'error': {
        const c = m.channel ? find(m.channel) : m.id && all().find((c) => c.asked_ === m.id)
        if (!c) {
          if (m.id === undefined) tell('error', m as never)
        } else if (!m.retryable || m.code === 'too_many') lose(c, m as never)
        else {
          const { asked_ } = c
          later(() => c.asked_ === asked_ && said.first(follow(c)), 2e3 * (1 + random()))
        }
      }
    }
    said.hear(m)
  }
  const told = (s: Status, reason: string) => {
    if (s === 'open') return // when the relay has said who we are
    if (s !== 'connecting' || status === 'open') {
      said.shut(s === 'closed')
      for (const c of all()) assign(c, { live_: false, asked_: '' })
    }
    status = s
    tell('status', { status, reason })
  }

  // ---- connections ----

  const join = (openers: Opener[], hear: (m: Message) => void, told: (s: Status, reason: string) => void): Link => {
    const l = link(token.get, token.refused, openers, hear, (s, reason) => {
      if (s === 'closed') links.delete(l)
      told(s, reason)
    })
    links.add(l)
    return l
  }
  const socket = (path: string | (() => string)): Opener[] =>
    make ? [(token, hear, end) => openSocket(make, base + (typeof path === 'string' ? path : path()), token, hear, end)] : []
  const live: Weir['live'] = (path, each, status = () => {}) => join(socket(path), each, status)

  const room = () => limits?.address ?? 4096
  const ticket = () => {
    const was = resume && '&resume=' + resume
    resume = ''
    return was
  }
  const [ws] = options.transport ? [] : socket(() => {
    const [path, names] = address('/ws&features=fork,append' + ticket(), all(), room())
    named = names
    named.forEach((c) => (c.asked_ = unique()))
    return path.replace('&', '?')
  })
  const main = join(
    [
      ...(ws ? [((token, hear, end) => {
        streaming = false
        // What was too big for the relay, or for what stands before it, is not sent again: without it the connection lasts.
        return ws(token, hear, (code, reason) => end(code === 1009 && said.big() ? 1006 : code, reason))
      }) as Opener] : []),
      (t, hear, end) => {
        streaming = true
        return openStream(
          { base, headers, channels: all, room, ticket, renew: async () => (token.refused() ? token.get() : undefined) },
          t, hear, end,
        )
      },
    ],
    hear,
    told,
  )

  // A machine that wakes, and a network that comes back: find out at once what became of the connections.
  const wake = () => links.forEach((l) => l.wake_())
  const stop = new AbortController()
  globalThis.addEventListener?.('online', wake, stop)
  globalThis.document?.addEventListener('visibilitychange', wake, stop)

  let mine: Channel | undefined
  const weir: Weir = {
    get status() {
      return status
    },
    get userId() {
      return userId
    },
    get connectionId() {
      return connectionId
    },
    get limits() {
      return limits
    },
    on,
    channel: open,
    get me() {
      if (!mine || !channels.has('')) mine = open('')
      return mine
    },
    emit: (topic, data) =>
      status === 'waiting' ? Promise.reject(failure('connection_lost', 'there is no connection', true)) : said.ask({ type: 'event', topic, data }),
    command: said.ask,
    call: async (method, data, options) => (await said.ask({ type: 'call', method, data, ...options })).data,
    live,
    document: (id) => lateDocument(weir, id, (err) => tell('error', { code: 'unavailable', message: '' + err })),
    token: token.get,
    close() {
      token.stop()
      stop.abort()
      links.forEach((l) => l.close())
    },
  }
  return weir
}
