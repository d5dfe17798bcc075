import { later, max, min, never, random, now, stringify } from './short'
import type { Hear, Message, Opener, Wire } from './wire'

/** How a connection stands. Waiting: for the time of the next try; closed: no more tries. */
export type Status = 'connecting' | 'open' | 'waiting' | 'closed'

/** A connection that is made again whenever it is lost. */
export interface Link {
  /** Sends a message; text is how it is encoded. */
  send(m: Message, text?: string): void
  /** Connects anew, at once. */
  again(): void
  close(): void
  /** Finds out what became of the connection. @internal */
  wake_(): void
}

const patience = 1e4 // ms for a connection to say something, and for the answer to a ping
const short = 3e3 // the same, when there is reason to think that it is gone
const beat = 25e3 // ms of silence after which the other side is asked whether it is there

/**
 * Keeps one connection: it is made again, as close codes ask for, until it is closed. Of several openers the later
 * ones are for when the first can not connect at all. Told is every change of the status, open before the first message.
 */
export function link(
  token: () => Promise<string>, // asks for a new one if there is none that is good
  refused: () => boolean, // the relay does not take the one there is: is there another?
  openers: Opener[],
  hear: (m: Message) => void,
  told: (status: Status, reason: string) => void,
): Link {
  let status: Status
  let wire: Wire | undefined
  let round = 0 // counts connections: what an old one says is not heard
  let tries = 0 // in a row that did not last
  let failed = 0 // WebSockets in a row that never opened
  let proven = false // a WebSocket has worked before
  let since = 0 // when the connection opened
  let heard = 0 // when something came
  let silent = false // nothing has come since the last question
  let ticked = 0
  let retry: any, tick: any, ask: any // timers

  const say = (s: Status, reason = '') => told((status = s), reason)
  const drop = () => {
    round++
    never(retry)
    never(ask)
    clearInterval(tick)
    ask = 0
    const was = wire
    wire = undefined
    was?.[1]()
  }

  const connect = async (opener = 0) => {
    if (wire || status === 'closed') return
    drop()
    const mine = round
    let opened = false
    let tried = false // a token that does not come says nothing of what the network lets through
    const end = (code: number, reason: string) => {
      if (mine !== round) return
      drop()
      if (tried && !opened) {
        failed += +!opener
        if (openers[opener + 1] && (!proven || failed % 3 === 0)) return void connect(opener + 1)
        if (failed % 3 === 0) refused() // a WebSocket does not say why it is refused
      }
      ended(code, reason)
    }
    const mineHear: Hear = (m) => {
      if (mine !== round) return
      silent = false
      heard = now()
      if (!m) return
      if (!opened) {
        opened = true
        if (!opener) {
          proven = true
          failed = 0
        }
        never(ask)
        ask = 0
        since = ticked = heard
        tick = setInterval(watch, short)
        say('open')
      }
      if (m.type === 'closed') end(m.code, m.reason)
      else hear(m)
    }
    say('connecting')
    try {
      const t = await token()
      if (mine !== round) return
      ask = later(end, patience, 1006, 'no answer')
      tried = true
      wire = openers[opener](t, mineHear, end)
    } catch (err) {
      end(1006, '' + err)
    }
  }

  // A browser does not see the pings of WebSockets, so this asks. Timers that come late tell of a machine that slept.
  const watch = () => {
    if (now() - ticked > beat) probe(short)
    else if (now() - heard > beat) probe(patience)
    ticked = now()
  }
  const probe = (ms: number) => {
    if (ask) return
    silent = true
    wire![0]('{"type":"ping"}', { type: 'ping' })
    ask = later(() => {
      ask = 0
      if (!silent) return
      drop()
      ended(1006, 'no answer')
    }, ms)
  }

  // Does what a close code asks for. Backing off is for a random time that doubles with each try: thousands lose a
  // relay in the same moment.
  const ended = (code: number, reason: string) => {
    const lasted = since && now() - since > 5e3
    since = 0
    if (lasted) tries = 0
    const why = `${reason} (${code})`
    if (code === 4001 ? !refused() : /^(100[02379]|4003|44..)$/.test(code as never)) return say('closed', why)
    const wait = +reason.split('retry=')[1] || 0
    const most = min((/1008|1013|4029/.test(code as never) ? 5e3 : 500) * 2 ** tries, 3e4)
    const back = (most * (1 + random())) / 2
    const soon = (code === 4100 && wait) || (code === 4001 && lasted)
    if (!soon) tries++
    say('waiting', why)
    retry = later(connect, soon ? wait : max(back, wait * (0.5 + random())))
  }

  queueMicrotask(connect)
  return {
    send: (m, text = stringify(m)) => wire?.[0](text, m),
    again() {
      drop()
      void connect()
    },
    close() {
      drop()
      say('closed')
    },
    wake_: () => (status === 'waiting' ? void connect() : status === 'open' && probe(short)),
  }
}
