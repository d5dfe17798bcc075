import { later, never, stringify } from './short'
import type { Followed } from './channel'
import { address, openEvents, type End, type Hear, type Message, type Wire } from './wire'

const patience = 1e4 // ms for the answer to what was posted

/** What a client says and asks of an event stream. */
export interface Streamed {
  /** Where the relay is. */
  base: string
  headers(token: string): Record<string, string>
  /** What is to be followed. */
  channels(): Followed[]
  /** The bytes that an address may have. */
  room(): number
  /** What lets the client come back once, for an address. */
  ticket(): string
  /** Another token, as the relay does not take the one there is; nothing if there is none. */
  renew(): Promise<string | void>
}

/**
 * The channels by an event stream, and POST for what is said. The stream is opened anew when it is to have other
 * channels; those for which its address has no room are followed by commands that name the connection.
 */
export function openStream({ base, headers, channels, room, ticket, renew }: Streamed, token: string, hear: Hear, end: End): Wire {
  let close = () => {}
  let round = 0 // counts streams: what an old one says is not heard
  let connection = ''
  let followed = new Set<string>() // what this stream has, or was asked to have
  let asked: Message[] = []
  let turn: Promise<unknown> = Promise.resolve()
  let flights: Promise<void>[] = [] // of a kind
  let kind = ''
  let renewals: Message[] = [] // refreshes whose token the stream is being opened with
  let good = token // the newest that opened one

  const build = (ticket = '') => address(base + '/sse?short=1&features=append' + ticket, channels(), room())
  const open = () => {
    const mine = ++round
    const [path, names] = build(ticket())
    followed = new Set(names.keys())
    close()
    connection = ''
    close = openEvents(path, headers(token), (m) => {
      if (mine !== round) return
      if (m?.type === 'connected') connection = m.connectionId
      if (/^(unsubscribed|error)$/.test(m?.type!)) followed.delete(m!.channel)
      hear(m)
      if (m?.type === 'connected') {
        good = token
        for (const { id } of renewals.splice(0)) hear({ type: 'ok', id, expiresIn: m.expiresIn })
      }
    }, (code, reason) => {
      if (mine !== round) return
      if (!renewals[0] || code !== 4001) return end(code, reason)
      // The relay does not take the next token, so the one before goes on, as on a WebSocket.
      token = good
      const refused = renewals.splice(0)
      open()
      for (const { id } of refused) hear({ type: 'error', id, code: 'unauthorized', message: 'the token is not taken: ' + reason, retryable: false })
    })
  }

  // Makes the stream follow what is asked of it; what is asked in one go goes together.
  const follow = () => {
    const list = asked.filter((m) => (m.type === 'subscribe') !== followed.has(m.channel))
    asked = []
    if (!list[0] || !connection) return
    if (build()[1].size === channels().length) return open()
    for (const m of list) {
      followed[m.type === 'subscribe' ? 'add' : 'delete'](m.channel)
      // One may overtake another of its kind, but not an unsubscribe a subscribe, which it may make room for.
      if (m.type !== kind) {
        turn = Promise.all(flights)
        flights = []
        kind = m.type
      }
      flights.push(turn.then(() => post(stringify({ ...m, connectionId: connection }), m)))
    }
  }

  const forget = (m: Message) => m.type === 'subscribe' && followed.delete(m.channel)
  const post = async (text: string, m: Message, again?: boolean): Promise<void> => {
    let r: Response | undefined
    let answer: any
    const stop = new AbortController()
    const timer = later(() => stop.abort(), patience)
    try {
      r = await fetch(base + '/command?features=append', { method: 'POST', credentials: token ? 'same-origin' : 'include', headers: { 'content-type': 'application/json', ...headers(token) }, body: text, signal: stop.signal })
      answer = await r.json()
    } catch {} // that there is no proper answer is all that matters
    never(timer)
    const status = r?.status ?? 0
    if (answer && answer.id === m.id) {
      // The relay may know before we do that the stream is gone.
      if (answer.type === 'error' && forget(m)) answer.retryable ||= answer.code === 'not_found'
      return hear(answer)
    }
    if (status === 401 && !again) {
      const next = await renew().catch(() => {})
      if (next) {
        token = next
        return post(text, m, true)
      }
    }
    // It may be a proxy's answer: it is the command's affair, and not that of the stream.
    const unsure = status < 400 || status === 408 || status > 499
    forget(m)
    hear({
      type: 'error', id: m.id, message: answer?.title ?? `POST /command: ${status ? 'status ' + status : 'no answer'}`, retryable: unsure || status === 429,
      code: answer?.code ?? (unsure ? 'connection_lost' : ({ 401: 'unauthorized', 404: 'not_found', 413: 'too_large', 429: 'rate_limited' }[status] ?? 'forbidden')),
    })
  }

  open()
  return [
    (text, m) => {
      if (m.type === 'refresh') {
        token = m.token
        renewals.push(m)
        open()
      } else if (/scribe/.test(m.type)) {
        if (!asked[0]) queueMicrotask(follow)
        asked.push(m)
      } else if (m.type !== 'ping' || m.id) void post(text, m) // the stream's own beat says whether it is alive
    },
    () => {
      round++
      close()
    },
  ]
}
