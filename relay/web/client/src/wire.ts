import { parse } from './short'
import type { Followed } from './channel'
// One connection: a WebSocket, or an event stream.

/** A message of the protocol. */
export type Message = { type: string; [member: string]: any }

/** The part of WebSocket that is needed: the browser's own, or npm ws in Node 20. */
export interface Socket {
  onmessage: ((e: { data: any }) => void) | null
  onclose: ((e: { code: number; reason: string }) => void) | null
  onerror: ((e: any) => void) | null
  send(data: string): void
  close(code?: number): void
}
export type SocketConstructor = new (url: string, protocols: string[]) => Socket

/** A connection: a way to say something, and to close it. Nothing is heard of it after that. */
export type Wire = [say: (text: string, m: Message) => void, close: () => void]

/** Hears a message; none when there are only signs of life. */
export type Hear = (m?: Message) => void

/** A connection has ended, or never began: the close code and the reason. Only the first time counts. */
export type End = (code: number, reason: string) => void

export type Opener = (token: string, hear: Hear, end: End) => Wire

/** Hears what came as text. What cannot be read costs itself alone. */
export function read(text: string, hear: Hear): void {
  let m: Message
  try {
    m = parse(text)
  } catch (err) {
    m = { type: 'error', code: 'invalid_json', message: '' + err, retryable: false }
  }
  hear(m)
}

/** An address with as many channels, and where they stand, as it has room for: of all that there are, those, by name. */
export function address(path: string, channels: Followed[], room: number): [path: string, names: Map<string, Followed>] {
  const names = new Map<string, Followed>()
  for (const c of channels) {
    // All that a name may have stands in a query as it is.
    const at = c.position_()
    const more = `&channel=${c.name_}&position=${at ? encodeURIComponent(at.epoch) + ':' + at.seq : ''}`
    if (path.length + more.length > room) continue
    path += more
    names.set(c.name_, c)
  }
  return [path, names]
}

export function openSocket(make: SocketConstructor, url: string, token: string, hear: Hear, end: End): Wire {
  const ws = new make(url.replace('http', 'ws'), token ? ['weir', 'token.' + token] : ['weir'])
  ws.onmessage = (e) => read(e.data, hear)
  ws.onclose = (e) => end(e.code, e.reason)
  ws.onerror = () => {} // a close follows
  return [(text) => ws.send(text), () => ws.close(1000)]
}

/** Reads an event stream to its end; what its events carry is all in the data. */
export function openEvents(url: string, headers: Record<string, string>, hear: Hear, end: End): () => void {
  const stop = new AbortController()
  const go = async () => {
    const r = await fetch(url, { headers, credentials: headers.authorization ? 'same-origin' : 'include', signal: stop.signal })
    if (r.status !== 200) {
      // What the status means, as the close code and the reason that ask for the same. A refusal that is no problem of
      // the relay's own is some proxy's, and may be over soon.
      const own = /problem/.test(r.headers.get('content-type')!) && { 401: 4001, 403: 4003 }[r.status]
      const after = r.headers.get('retry-after')
      return end(own || ({ 204: 1000, 429: 1013, 503: 1013 }[r.status] ?? 1006), `status ${r.status}${after ? `, retry=${after}000` : ''}`)
    }
    const reader = r.body!.pipeThrough(new TextDecoderStream()).getReader()
    let rest: string[] = [] // of a line that has not ended, in pieces
    let data: string[] = [] // of the event
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return end(1006, '')
      hear()
      rest.push(value)
      if (!value.includes('\n')) continue
      const lines = rest.join('').split(/\r?\n/) // and at nothing else: U+2028 is a character like others
      rest = [lines.pop()!]
      for (const line of lines) {
        if (line.startsWith('data:')) data.push(line.slice(5))
        else if (!line && data[0]) {
          read(data.join('\n'), hear)
          data = []
        }
      }
    }
  }
  go().catch((err) => end(1006, '' + err))
  return () => stop.abort()
}
