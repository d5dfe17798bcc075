import { parse, stringify } from './short'
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
export type Wire = [say: (m: Message) => void, close: () => void]

/** Hears a message; none when there are only signs of life. */
export type Hear = (m?: Message) => void

/** A connection has ended, or never began: the close code and the reason. Only the first time counts. */
export type End = (code: number, reason: string) => void

export type Opener = (token: string, hear: Hear, end: End) => Wire

export function openSocket(make: SocketConstructor, url: string, token: string, hear: Hear, end: End): Wire {
  const ws = new make(url.replace('http', 'ws'), token ? ['weir', 'token.' + token] : ['weir'])
  ws.onmessage = (e) => hear(parse(e.data))
  ws.onclose = (e) => end(e.code, e.reason)
  ws.onerror = () => {} // a close follows
  return [(m) => ws.send(stringify(m)), () => ws.close(1000)]
}

/** Reads an event stream to its end; what its events carry is all in the data. */
export function openStream(url: string, headers: Record<string, string>, hear: Hear, end: End): Wire {
  const stop = new AbortController()
  const read = async () => {
    const r = await fetch(url, { headers, signal: stop.signal })
    // What the status means, as the close code and the reason that ask for the same.
    if (r.status !== 200) return end({ 204: 1000, 401: 4001, 403: 4003, 429: 1013, 503: 1013 }[r.status] ?? 1006, `retry=${r.headers.get('retry-after')}000`)
    const reader = r.body!.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return end(1006, '')
      hear()
      const events = (rest + value).split('\n\n')
      rest = events.pop()!
      for (const e of events) {
        const data = e.match(/^data: .*/gm)
        if (data) hear(parse(data.map((line) => line.slice(6)).join('\n')))
      }
    }
  }
  read().catch((err) => end(1006, '' + err))
  return [() => {}, () => stop.abort()]
}
