import { assign, later, max, min, never, now, random, stringify } from './short'
import type { Message } from './wire'

/** What bounds a client, as the relay tells it. */
export interface Limits {
  /** Bytes of a message. */
  message: number
  /** Commands a second; 0: any number. */
  commands: number
  /** Channels of one connection. */
  subscriptions: number
  /** Bytes of an address. */
  address: number
}

/** An error of the relay, or of what could not be asked of it. */
export interface WeirError extends Error {
  code: string
  /** Later it may work. */
  retryable: boolean
  /** Of an append at a wrong offset: the right one. */
  offset?: number
}

export const failure = (code: string, message: string, retryable = false, cause?: unknown): WeirError => assign(Error(message, { cause }), { code, retryable })
const lost = () => failure('connection_lost', 'connection lost', true)

/**
 * As much as a rate allows, a second's worth at once. The relay allows twice that, and so does not mind what a network
 * has held up and then delivers together.
 */
type Bucket = [wait: () => number, take: () => void, rate: number]
function bucket(rate: number): Bucket {
  let used = 0
  let at = 0
  return [
    () => {
      used = max(0, used - ((now() - at) * rate) / 1e3)
      at = now()
      return rate && (max(0, used + 1 - max(1, rate)) / rate) * 1e3
    },
    () => void used++,
    rate,
  ]
}

/** A command that has no answer yet. */
interface Pending {
  m: Message
  text: string
  done: (m: Message) => void
  fail: (err: Error) => void
  /** What it must not overtake has these. */
  keys: string[]
  /** It is on its way. */
  sent?: boolean
  /** When it was sent and not refused: it may have arrived, though no answer has. */
  first?: number
}

/** Something is refused for now: until when, since when, and how often in a row. */
interface Hold {
  until: number
  since: number
  tries: number
}

/** Makes a message when it is its turn, or nothing if there is no need for it any more. */
type Maker = () => Message | false | undefined

const most = 1000 // commands that wait
const together = 64 // commands on their way: their answers must find room in the relay's queue
const persist = 6e4 // ms that what is refused for now is tried again
const cautious = 1e4 // ms after a refusal for which they go one by one
const known = 2.7e5 // ms, a little less than the relay knows an idempotency key

const once = (m: Message) => /^(event|message|refresh)$/.test(m.type) // of this moment: not to be sent again
const ordered = (m: Message) => /^(event|message|publish)$/.test(m.type)
const space = (channel: unknown) => '.' + (('' + channel).match(/^.*?:/) ?? ':')

export interface Queue {
  ask(m: Message): Promise<Message>
  /** Says something before all commands. */
  first(make: Maker): void
  /** There is a connection, where first things are said first. Serial: one may overtake another on the way, so that the next one waits for the answer. */
  open(limits: Limits | undefined, serial: boolean, first: Maker[]): void
  /** There is none. Final: nor will there be. */
  shut(final: boolean): void
  /** An answer; false if none of these commands has asked for it. */
  hear(m: Message): boolean
  /** A channel's namespace takes so many publications a second; 0: any number. */
  pace(channel: string, rate: number): void
  /** Something on its way was too big for the relay: gives up the largest. False if there is none. */
  big(): boolean
}

/** Commands in the order in which they were given, sent as fast as the relay takes them, and again if it does not take them yet. */
export function queue(send: (text: string, m: Message) => void, unique: () => string): Queue {
  const pending = new Map<string, Pending>() // by id
  const urgent: Maker[] = []
  const paces = new Map<string, Bucket>() // by namespace
  const holds = new Map<string, Hold>() // by channel, namespace or id
  let stopped = new Set<string>() // what has to wait, by the same: those behind it wait, too
  let commands = bucket(0)
  let limits: Limits | undefined
  let opened = false
  let closed = false
  let serial = false
  let timer: any

  const settle = (p: Pending, err?: Error, m?: Message) => {
    pending.delete(p.m.id)
    err ? p.fail(err) : p.done(m!)
  }
  const large = (text: string) =>
    limits && text.length * 3 > limits.message && new TextEncoder().encode(text).length > limits.message && failure('too_large', `the command has more than ${limits.message} bytes`)

  const pump = () => {
    never(timer)
    stopped = new Set()
    if (!opened) return
    const t = now()
    let next = Infinity // ms to the next that waits for time to pass
    const wait = (key: string, ms = 0) => {
      if (ms > 0) {
        next = min(next, ms)
        stopped.add(key)
      }
    }
    const free = () => !stopped.has('*')
    while (urgent[0]) {
      wait('*', commands[0]())
      if (!free()) break
      const m = urgent.shift()!()
      if (!m) continue
      commands[1]()
      send(stringify(m), m)
    }
    const flying = [...pending.values()].filter((p) => p.sent)
    for (const p of free() ? [...pending.values()] : []) {
      const { m, text, keys } = p
      if (p.sent || keys.some((k) => stopped.has(k))) continue
      const err = large(text) || (p.first! < t - known && lost())
      if (err) {
        settle(p, err)
        continue
      }
      for (const k of keys) {
        const hold = holds.get(k)
        wait(k, hold?.until! - t)
        // One after the other as long as it is not known that it is over: none overtakes one that is refused again.
        if (hold && flying.some((f) => f.keys.includes(k))) stopped.add(k)
      }
      if (m.type === 'publish') {
        const pace = paces.get(keys[1])
        wait(keys[1], pace?.[0]())
        // Nobody has said how many it may be.
        if (!pace && flying.some((f) => f.keys[1] === keys[1])) stopped.add(keys[1])
      }
      if (serial && ordered(m) && flying.some((f) => ordered(f.m))) stopped.add(keys[0])
      if (keys.some((k) => stopped.has(k))) continue
      if (flying.length >= together) stopped.add('*')
      wait('*', commands[0]())
      if (!free()) break
      commands[1]()
      if (m.type === 'publish') paces.get(keys[1])?.[1]()
      p.sent = true
      p.first ??= t
      flying.push(p)
      send(text, m)
    }
    if (next < Infinity) timer = later(pump, next)
  }

  return {
    ask: (m) =>
      new Promise((done, fail) => {
        const { data, ...rest } = m
        const id = unique()
        if (m.type === 'publish') rest.idempotencyKey ??= id
        let text: string
        try {
          const encoded = stringify(data)
          if (!encoded && (data !== undefined || (m.type === 'publish' && m.op !== 'delete'))) throw `JSON has no ${typeof data}`
          text = stringify({ ...rest, id }).slice(0, -1) + (encoded ? `,"data":${encoded}}` : '}')
        } catch (err) {
          return fail(failure('bad_request', 'this cannot be encoded: ' + err, false, err))
        }
        if (closed) return fail(lost())
        if (pending.size >= most) return fail(failure('too_many', `${most} commands are waiting already`, true))
        const err = large(text)
        if (err) return fail(err)
        // All that change something go one after the other, those of a namespace and of a channel among them.
        const keys = m.type === 'publish' ? ['.', space(m.channel), '' + m.channel] : ordered(m) ? ['.', '.' + m.type] : [id]
        pending.set(id, { m: { ...rest, id } as Message, text, done, fail, keys })
        if (!['*', ...keys].some((k) => stopped.has(k))) pump()
      }),
    first(make) {
      if (opened) {
        urgent.push(make)
        pump()
      }
    },
    open(l, s, first) {
      limits = l
      serial = s
      opened = true
      urgent.splice(0, Infinity, ...first)
      commands = bucket(l?.commands ?? 0)
      pump()
    },
    shut(final) {
      opened = false
      closed = final
      urgent.length = 0
      for (const p of [...pending.values()]) {
        p.sent = false
        if (final || once(p.m)) settle(p, lost())
      }
      pump()
    },
    hear(m) {
      const p = pending.get(m.id)
      if (!p) return false
      const t = now()
      const { code, retryable } = m
      if (m.type !== 'error') {
        for (const k of p.keys) {
          const h = holds.get(k)
          if (!h) continue
          if (h.until < t - cautious) holds.delete(k)
          assign(h, { since: t, tries: 0 })
        }
        settle(p, undefined, m)
      } else if (retryable && (code !== 'connection_lost' || !once(p.m))) {
        const key = p.keys[code === 'rate_limited' && p.keys[1] ? 1 : p.keys.length - 1]
        let h = holds.get(key)
        if (!h || h.until < t - persist) holds.set(key, (h = { since: t, until: 0, tries: 0 }))
        if (h.until <= t) h.until = t + min(5e3, 250 * 2 ** h.tries++) * (0.5 + random())
        p.sent = false
        if (code !== 'connection_lost') p.first = undefined
        if (t - h.since > persist) settle(p, failure(code, m.message, true))
      } else settle(p, assign(failure(code, m.message, retryable), m.offset! >= 0 && { offset: m.offset }))
      pump()
      return true
    },
    pace(channel, rate) {
      const key = space(channel)
      if (paces.get(key)?.[2] !== rate) paces.set(key, bucket(rate))
      pump()
    },
    big() {
      const [p] = [...pending.values()].filter((p) => p.sent).sort((a, b) => b.text.length - a.text.length)
      if (p) settle(p, failure('too_large', 'the command is too large for a message'))
      return !!p
    },
  }
}
