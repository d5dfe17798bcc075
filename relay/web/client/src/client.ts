import { Channel, type ChannelOptions } from './channel'
import { Doc } from './document'
import { Emitter, type Off } from './emitter'
import { Link, type Opener, type Owner, type Status, type Tokens } from './link'
import { openSocket, readStream, refusal, type Ears, type Message, type SocketConstructor, type StreamEvent, type Wire } from './wire'

export interface Options {
  /** A token, or where to get one: asked again before it expires and when the relay does not take it. */
  token?: string | (() => string | Promise<string>)
  /** auto: a WebSocket, and where none gets through an event stream with POST. */
  transport?: 'auto' | 'ws' | 'sse'
  /** In Node 20: import WebSocket from 'ws'. */
  WebSocket?: SocketConstructor
  fetch?: typeof fetch
  /** Numbers from 0 to 1 that spread the tries. */
  random?: () => number
}

export type ClientEvents = {
  status: { status: Status; reason: string }
  connected: { connectionId: string; userId: string }
  error: { code: string; message: string }
}

/** An error of the relay, or of a connection that was lost before the answer came. */
export class WeirError extends Error {
  constructor(public code: string, message: string, public retryable: boolean) {
    super(message)
  }
}

interface Pending {
  m: Message
  done: (m: Message) => void
  fail: (err: Error) => void
  sent: boolean
}

const maxPending = 1000 // commands that wait for a connection or an answer
const fullBudget = 100 // commands at once; the relay takes as many a second
const once = ['event', 'message'] // what must not be sent again when nobody knows whether it arrived

/** A client of a relay. */
export class Weir extends Emitter<ClientEvents> implements Owner, Tokens {
  status: Status = 'connecting'
  connectionId = ''
  userId = ''
  /** @internal */ url_: string
  /** @internal */ fetch_: typeof fetch
  /** @internal */ random_: () => number
  /** @internal */ link_: Link
  /** @internal */ links_ = new Set<Link>()
  /** @internal */ channels_ = new Map<string, Channel>()
  /** @internal */ me_: Channel | undefined
  /** @internal */ pending_ = new Map<string, Pending>()
  /** @internal */ queue_: Message[] = []
  /** @internal */ budget_ = fullBudget
  /** @internal */ paid_ = 0
  /** @internal */ pump_: ReturnType<typeof setTimeout> | undefined
  /** @internal */ count_ = 0
  /** @internal */ name_ = Math.random().toString(36).slice(2)
  /** @internal */ token_: { text: string; expires: number } | undefined
  /** @internal */ asking_: Promise<string> | undefined
  /** @internal */ refresh_: ReturnType<typeof setTimeout> | undefined
  /** @internal */ off_: Off[] = []

  constructor(url: string | URL = location.origin, private options: Options = {}) {
    super()
    this.url_ = String(url).replace(/^ws/, 'http').replace(/\/$/, '')
    this.fetch_ = options.fetch ?? ((...a) => fetch(...a))
    this.random_ = options.random ?? Math.random
    const mode = options.transport ?? 'auto'
    const socket = this.socket_('/ws')
    const stream: Opener = (token, ears) => this.stream_(token, ears)
    this.link_ = this.join_(new Link(this, mode === 'sse' || !socket ? [stream] : mode === 'ws' ? [socket] : [socket, stream], this))
    const wake = () => this.links_.forEach((l) => l.wake_())
    if (typeof addEventListener === 'function')
      for (const name of ['online', 'offline', 'pageshow']) {
        addEventListener(name, wake)
        this.off_.push(() => removeEventListener(name, wake))
      }
    if (typeof document === 'object') {
      const seen = () => document.visibilityState === 'visible' && wake()
      document.addEventListener('visibilitychange', seen)
      this.off_.push(() => document.removeEventListener('visibilitychange', seen))
    }
  }

  /** Follows a channel. Asked again for the same name it answers the same channel. */
  channel(name: string, options?: ChannelOptions): Channel {
    let c = this.channels_.get(name)
    if (c) return c
    this.channels_.set(name, (c = new Channel(this, name, options)))
    if (this.status === 'open') this.follow_(c)
    return c
  }

  /** The channel of the user, which is that of the token. */
  get me(): Channel {
    if (!this.me_) {
      this.me_ = new Channel(this, '')
      if (this.userId) this.own_()
    }
    return this.me_
  }

  /** Opens a shared document. */
  document(id: string): Doc {
    return new Doc(this, id)
  }

  /** Tells backends and systems of an event, now or not at all. */
  async emit(topic: string, data: unknown): Promise<void> {
    if (this.status !== 'open') throw new WeirError('offline', 'not connected', true)
    await this.command({ type: 'event', topic, data })
  }

  /** Sends a command of the protocol and answers what the relay does. It waits for a connection. */
  command(m: Message): Promise<Message> {
    return new Promise((done, fail) => {
      if (this.status === 'closed') return fail(new WeirError('closed', 'the client is closed', false))
      if (this.pending_.size >= maxPending) return fail(new WeirError('too_many', 'too much waits for an answer', true))
      const id = `${++this.count_}`
      const p = { m: { ...m, id }, done, fail, sent: false }
      this.pending_.set(id, p)
      if (this.status === 'open') this.say_(p.m)
    })
  }

  /** Follows a WebSocket route of the relay that speaks messages of its own, such as /analytics/live. */
  live(path: string, message: (m: Message) => void, status: (s: Status, reason: string) => void = () => {}): { send: (m: Message) => void; close: () => void } {
    const open = this.socket_(path)
    if (!open) throw new WeirError('no_websocket', 'there is no WebSocket here', false)
    const link = this.join_(new Link(this, [open], { message_: message, down_() {}, status_: status }))
    return { send: (m) => link.send_(m), close: () => this.part_(link) }
  }

  /** Follows an event stream of the relay, such as /feed/live. It resumes after the last id. */
  events(path: string, each: (e: StreamEvent) => void, status: (s: Status, reason: string) => void = () => {}): Off {
    let last = ''
    const open: Opener = (token, ears) => this.read_(path, last, token, ears, (e) => {
      if (e.id) last = e.id
      ears.hear_({ ...e, ...(e.event === 'closed' && JSON.parse(e.data)), type: e.event })
    })
    const link = this.join_(new Link(this, [open], { message_: (m) => each(m as never), down_() {}, status_: status }))
    return () => this.part_(link)
  }

  /** Asks the relay over HTTP with the token. The answer is JSON; a problem is thrown. */
  async request(method: string, path: string, body?: unknown): Promise<any> { // eslint-disable-line
    for (let again = true; ; again = false) {
      const r = await this.fetch_(this.url_ + path, {
        method,
        headers: { ...this.bearer_(await this.get_()), ...(body !== undefined && { 'content-type': 'application/json' }) },
        body: body === undefined ? undefined : JSON.stringify(body),
      })
      const answer = await r.json().catch(() => ({}))
      if (r.ok) return answer
      if (r.status !== 401 || !again || !this.refused_())
        throw new WeirError(answer.code ?? 'http', answer.title ?? 'HTTP ' + r.status, !!answer.retryable)
    }
  }

  /** Ends everything. */
  close(reason = ''): void {
    this.off_.forEach((off) => off())
    clearTimeout(this.refresh_)
    for (const link of [...this.links_]) this.part_(link, reason)
  }

  // ---- connection ----

  /** @internal */
  socket_(path: string): Opener | undefined {
    const make = this.options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined)
    return make && ((token, ears) => openSocket(make, this.url_ + path, token, ears))
  }

  /** @internal */
  join_(link: Link): Link {
    this.links_.add(link)
    queueMicrotask(() => void link.connect_())
    return link
  }

  /** @internal */
  part_(link: Link, reason = ''): void {
    this.links_.delete(link)
    link.close_(reason)
  }

  /** @internal */
  bearer_(token: string): Record<string, string> {
    return token ? { authorization: 'Bearer ' + token } : {}
  }

  /** @internal One event stream. */
  read_(path: string, last: string, token: string, ears: Ears, each: (e: StreamEvent) => void): Wire {
    const stop = new AbortController()
    const headers = { ...this.bearer_(token), ...(last && { 'last-event-id': last }) }
    readStream(this.fetch_, this.url_ + path, headers, stop.signal, each, ears.alive_)
      .catch((err) => [1006, String(err)] as [number, string])
      .then(([code, reason]) => stop.signal.aborted || ears.end_(code, reason))
    return { send_() {}, close_: () => stop.abort() }
  }

  /** @internal The stream of the channels, and POST for what is said. */
  stream_(token: string, ears: Ears): Wire {
    let open: Wire | undefined
    let following = ''
    let greeted = false
    let closed = false
    const denied = new Set<string>()
    const wanted = () => [...this.channels_.values(), this.me_].filter((c) => c?.name && !denied.has(c.name)) as Channel[]
    const names = () => wanted().map((c) => c.name).sort().join(' ')
    const start = () => {
      if (closed || (open && following === names())) return
      following = names()
      open?.close_()
      const query = wanted().map((c) => `channel=${encodeURIComponent(c.name)}&position=${c.position ? encodeURIComponent(c.position.epoch + ':' + c.position.seq) : ''}`)
      const end = (code: number, reason: string) => {
        const [, name] = /^channel=(.*)/.exec(reason) ?? []
        if (!name) return ears.end_(code, reason)
        denied.add(name) // one channel that is forbidden refuses the stream of all
        ears.hear_({ type: 'unsubscribed', channel: name, code: 'forbidden', reason: 'not allowed' })
        start()
      }
      open = this.read_('/sse?' + query.join('&'), '', token, { ...ears, end_: end }, (e) => {
        const m = JSON.parse(e.data)
        if (m.type !== 'connected' || !greeted) ears.hear_(m)
        greeted = true
      })
    }
    const post = async (m: Message) => {
      const r = await this.fetch_(this.url_ + '/command', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...this.bearer_(token) },
        body: JSON.stringify(m),
      })
      const answer = await r.json().catch(() => ({}))
      if (closed) return
      if (r.ok) ears.hear_(answer)
      else if (r.status === 401) ears.end_(4001, 'HTTP 401')
      else ears.hear_({ type: 'error', code: 'http', message: answer.title ?? 'HTTP ' + r.status, retryable: r.status === 429 || r.status > 500, ...answer, id: m.id })
    }
    start()
    return {
      send_: (m) => {
        if (m.type === 'refresh') {
          token = m.token
          following = ''
        }
        if (/subscribe|refresh/.test(m.type)) queueMicrotask(start)
        else if (m.type !== 'ping') post(m).catch((err) => closed || ears.end_(1006, String(err)))
        if (m.id && /unsub|refresh/.test(m.type)) ears.hear_({ type: 'ok', id: m.id })
      },
      close_: () => {
        closed = true
        open?.close_()
      },
    }
  }

  // ---- tokens ----

  /** @internal */
  get_(): Promise<string> {
    const { token } = this.options
    if (typeof token !== 'function') return Promise.resolve(token ?? '')
    if (this.token_ && this.token_.expires > Date.now()) return Promise.resolve(this.token_.text)
    return (this.asking_ ??= Promise.resolve()
      .then(token)
      .then((text) => {
        this.keep_(text)
        return text
      })
      .finally(() => (this.asking_ = undefined)))
  }

  /** @internal Keeps a token, and has it replaced when four fifths of its life are over. */
  keep_(text: string): void {
    let life = 1e9
    try {
      const { exp, iat } = JSON.parse(atob(text.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')))
      life = Math.max((exp - (iat ?? Date.now() / 1000)) * 1000, 1000)
    } catch {
      // not for us to read
    }
    this.token_ = { text, expires: Date.now() + life * 0.95 }
    clearTimeout(this.refresh_)
    if (life < 2 ** 31) this.refresh_ = setTimeout(() => void this.renew_(), life * (0.75 + this.random_() * 0.1))
  }

  /** @internal */
  async renew_(): Promise<void> {
    const had = this.token_
    this.token_ = undefined
    try {
      const token = await this.get_()
      if (this.status === 'open') await this.command({ type: 'refresh', token })
    } catch (err) {
      this.token_ ??= had // as long as it lasts
      this.tell_('error', { code: 'token', message: String(err) })
    }
  }

  /** @internal */
  refused_(): boolean {
    this.token_ = undefined
    return typeof this.options.token === 'function'
  }

  // ---- what is said ----

  /** @internal */
  unique_(): string {
    return `${this.name_}-${++this.count_}`
  }

  /** @internal Sends a command in its turn: no more at once than the relay takes. */
  say_(m?: Message): void {
    if (m) this.queue_.push(m)
    const now = Date.now()
    this.budget_ = Math.min(fullBudget, this.budget_ + (now - this.paid_) * 0.08)
    this.paid_ = now
    while (this.queue_.length && this.budget_ >= 1) {
      this.budget_--
      const next = this.queue_.shift()!
      const p = this.pending_.get(next.id)
      if (p) p.sent = true
      this.link_.send_(next)
    }
    clearTimeout(this.pump_)
    if (this.queue_.length) this.pump_ = setTimeout(() => this.say_(), 100)
  }

  /** @internal */
  follow_(c: Channel): void {
    this.say_({ type: 'subscribe', id: 's ' + c.name, channel: c.name, position: c.position, groups: c.groups_ })
  }

  /** @internal */
  forget_(c: Channel): void {
    c.live = false
    if (this.channels_.get(c.name) !== c || !this.channels_.delete(c.name)) return
    if (this.status === 'open') this.say_({ type: 'unsubscribe', channel: c.name })
  }

  /** @internal The user's own channel is known by now. */
  own_(): void {
    const c = this.me_!
    const name = 'user:' + [...new TextEncoder().encode(this.userId)]
      .map((b) => (/[\w\-.:/@~]/.test(String.fromCharCode(b)) ? String.fromCharCode(b) : '=' + b.toString(16).toUpperCase().padStart(2, '0')))
      .join('')
    if (c.name && c.name !== name) c.position = undefined
    ;(c as { name: string }).name = name
    this.follow_(c)
  }

  // ---- what is heard ----

  /** @internal */
  message_(m: Message): void {
    const c = m.channel === undefined || m.channel === this.me_?.name ? this.me_ : this.channels_.get(m.channel)
    const p = this.pending_.get(m.id)
    switch (m.type) {
      case 'connected':
        this.link_.beat_ = m.heartbeat
        this.connectionId = m.connectionId
        this.userId = m.userId
        this.status = 'open'
        this.queue_ = []
        for (const c of this.channels_.values()) this.follow_(c)
        if (this.me_ && this.userId) this.own_()
        for (const p of this.pending_.values()) this.say_(p.m)
        this.tell_('status', { status: 'open', reason: '' })
        this.tell_('connected', { connectionId: m.connectionId, userId: m.userId })
        return
      case 'batch':
        for (const one of m.messages) {
          if (m.channel) c?.take_(one)
          else this.message_(one)
        }
        return
      case 'channel_update':
      case 'update':
        return c?.take_(m as never)
      case 'subscribed':
      case 'resync':
        return c?.stand_(m)
      case 'unsubscribed':
        return c && this.lost_(c, m.code, m.reason)
      case 'error':
        if (String(m.id).startsWith('s ')) {
          const failed = this.channels_.get(m.id.slice(2))
          if (failed && m.retryable) setTimeout(() => this.status === 'open' && this.channels_.get(failed.name) === failed && this.follow_(failed), 1000 + this.random_() * 4000)
          else if (failed) this.lost_(failed, m.code, m.message)
          return
        }
        if (!p) return this.tell_('error', { code: m.code, message: m.message })
    }
    if (!p) return
    this.pending_.delete(m.id)
    if (m.type === 'error') p.fail(new WeirError(m.code, m.message, m.retryable))
    else p.done(m)
  }

  /** @internal */
  lost_(c: Channel, code: string, message: string): void {
    c.live = false
    this.channels_.delete(c.name)
    c.tell_('error', { code, message })
  }

  /** @internal */
  down_(): void {
    clearTimeout(this.pump_)
    for (const c of [...this.channels_.values(), this.me_]) if (c) c.live = false
    for (const [id, p] of this.pending_) {
      if (p.sent && (once.includes(p.m.type) || p.m.type === 'refresh')) {
        this.pending_.delete(id)
        p.fail(new WeirError('connection_lost', 'the connection was lost before the answer came', true))
      }
      p.sent = false
    }
  }

  /** @internal */
  status_(status: Status, reason: string): void {
    if (status === 'open') return // when the relay has said who we are
    this.status = status
    this.tell_('status', { status, reason })
    if (status !== 'closed') return
    for (const p of this.pending_.values()) p.fail(new WeirError('closed', reason || 'the client is closed', false))
    this.pending_.clear()
  }
}
