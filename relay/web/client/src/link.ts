import type { Ears, Message, Wire } from './wire'

/** How a connection stands. Waiting: for the time of the next try; closed: no more tries. */
export type Status = 'connecting' | 'open' | 'waiting' | 'closed'

/** @internal */
export type Opener = (token: string, ears: Ears) => Wire

/** @internal Where tokens come from; shared by the links of a client. */
export interface Tokens {
  /** The token to use; asks for a new one if there is none that is good. */
  get_(): Promise<string>
  /** The relay does not take the one there is. Answers false if there is no other. */
  refused_(): boolean
  random_(): number
}

/** @internal Who wants the connection. */
export interface Owner {
  message_(m: Message): void
  /** The connection is gone; what was asked on it may not have been answered. */
  down_(): void
  status_(status: Status, reason: string): void
}

const patience = 10_000 // ms for a connection to say something, and for the answer to a ping

/** @internal Link keeps one connection: it makes it again, as close codes ask for, until it is closed. */
export class Link {
  status_: Status = 'connecting'
  beat_ = 25_000 // ms of silence after which the other side is asked whether it is there
  wire_: Wire | undefined
  tries_ = 0 // in a row that did not last
  failed_ = 0 // WebSockets in a row that never opened
  proven_ = false // a WebSocket has worked before
  since_ = 0 // when the connection opened
  heard_ = 0
  silent_ = false // nothing was heard since the last question
  ticked_ = 0
  round_ = 0 // counts connections: what an old one says is not heard
  retry_: ReturnType<typeof setTimeout> | undefined
  tick_: ReturnType<typeof setInterval> | undefined
  ask_: ReturnType<typeof setTimeout> | undefined

  /** Of several openers, the later ones are for when the first can not connect at all. */
  constructor(public tokens_: Tokens, public openers_: Opener[], public owner_: Owner) {}

  send_(m: Message): void {
    this.wire_?.send_(m)
  }

  /** Connects now, unless there is a connection already. */
  async connect_(opener = 0): Promise<void> {
    if (this.wire_ || this.status_ === 'closed') return
    clearTimeout(this.retry_)
    const round = ++this.round_
    const mine = () => round === this.round_
    this.say_('connecting')
    let token
    try {
      token = await this.tokens_.get_()
    } catch (err) {
      if (mine()) this.later_(this.backoff_(1000), 'no token: ' + err)
      return
    }
    if (!mine()) return
    let opened = false
    const end = (code: number, reason: string) => {
      if (!mine()) return
      this.drop_()
      if (opened) return this.ended_(code, reason)
      if (opener === 0) this.failed_++
      const last = opener + 1 >= this.openers_.length
      if (!last && (!this.proven_ || this.failed_ % 3 === 0)) return void this.connect_(opener + 1)
      if (last && this.failed_ % 3 === 0) this.tokens_.refused_() // a WebSocket does not say why it is refused
      this.ended_(code, reason)
    }
    this.ask_ = setTimeout(() => end(1006, 'no answer'), patience)
    try {
      this.wire_ = this.openers_[opener](token, {
        alive_: () => mine() && this.alive_(),
        hear_: (m) => {
          if (!mine()) return
          this.alive_()
          if (!opened) {
            opened = true
            clearTimeout(this.ask_)
            this.ask_ = undefined
            if (opener === 0) {
              this.failed_ = 0
              this.proven_ = true
            }
            this.since_ = Date.now()
            this.tick_ = setInterval(() => this.watch_(), this.beat_ / 5)
            this.ticked_ = this.since_
            this.say_('open')
          }
          if (m.type === 'closed') end(m.code, m.reason)
          else this.owner_.message_(m)
        },
        end_: end,
      })
    } catch (err) {
      end(1006, String(err))
    }
  }

  /** Ends for good. */
  close_(reason = ''): void {
    this.round_++
    this.drop_()
    this.say_('closed', reason)
  }

  /** The machine may have slept, or the network changed: find out now. */
  wake_(): void {
    if (this.status_ === 'waiting') void this.connect_()
    else if (this.status_ === 'open') this.probe_(patience / 3)
  }

  /** Connects anew, at once. */
  again_(): void {
    this.round_++
    this.drop_()
    void this.connect_()
  }

  alive_(): void {
    this.silent_ = false
    this.heard_ = Date.now()
  }

  watch_(): void {
    const now = Date.now()
    const slept = now - this.ticked_ > this.beat_
    this.ticked_ = now
    if (slept) this.probe_(patience / 3)
    else if (now - this.heard_ >= this.beat_) this.probe_(patience)
  }

  /** Asks the other side whether it is there. A browser does not see the pings of WebSockets. */
  probe_(within: number): void {
    if (this.ask_) return
    this.silent_ = true
    this.send_({ type: 'ping' })
    this.ask_ = setTimeout(() => {
      this.ask_ = undefined
      if (!this.silent_) return
      this.round_++
      this.drop_()
      this.ended_(1006, 'no answer')
    }, within)
  }

  drop_(): void {
    clearTimeout(this.retry_)
    clearTimeout(this.ask_)
    clearInterval(this.tick_)
    this.ask_ = undefined
    const wire = this.wire_
    this.wire_ = undefined
    wire?.close_()
    if (this.status_ === 'open') this.owner_.down_()
  }

  /** Does what a close code asks for. */
  ended_(code: number, reason: string): void {
    const why = `${reason || 'connection lost'} (${code})`
    const lasted = this.since_ && Date.now() - this.since_ > 5000
    this.since_ = 0
    if (lasted) this.tries_ = 0
    const wait = /^retry=(\d+)$/.exec(reason)
    if (code === 4001 && !this.tokens_.refused_()) this.close_(why)
    else if ([1000, 1002, 1003, 1007, 1009, 4003].includes(code) || (code >= 4400 && code < 4500)) this.close_(why)
    else if (code === 4100 && wait) this.later_(+wait[1], why)
    else if (code === 4001 && lasted) this.later_(0, why)
    else if (wait) this.later_(Math.max(+wait[1] * (0.5 + this.tokens_.random_()), this.backoff_(1000)), why)
    else this.later_(this.backoff_([1008, 1013, 4029].includes(code) ? 5000 : 500), why)
  }

  /** A random time that doubles with each try: thousands lose a relay in the same moment. */
  backoff_(least: number): number {
    const most = Math.min(least * 2 ** Math.min(this.tries_++, 10), 30_000)
    return most / 2 + (this.tokens_.random_() * most) / 2
  }

  later_(ms: number, why: string): void {
    this.say_('waiting', why)
    this.retry_ = setTimeout(() => void this.connect_(), ms)
  }

  say_(status: Status, reason = ''): void {
    if (this.status_ === status && !reason) return
    this.status_ = status
    this.owner_.status_(status, reason)
  }
}
