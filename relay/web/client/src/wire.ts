// One connection: a WebSocket, or an event stream together with POST for what the client says.

/** A message of the protocol. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Message = { type: string; [member: string]: any }

/** @internal A connection. Nothing is heard of it after close. */
export interface Wire {
  send_(m: Message): void
  close_(): void
}

/** @internal Who a connection reports to. */
export interface Ears {
  hear_(m: Message): void
  /** Bytes came that are no message. */
  alive_(): void
  /** The connection has ended, or never began. Told once. */
  end_(code: number, reason: string): void
}

/** The part of WebSocket that is needed: the browser's own, or npm ws in Node 20. */
export interface Socket {
  onmessage: ((e: { data: any }) => void) | null // eslint-disable-line
  onclose: ((e: { code: number; reason: string }) => void) | null
  onerror: ((e: any) => void) | null // eslint-disable-line
  send(data: string): void
  close(code?: number): void
}
export type SocketConstructor = new (url: string, protocols: string[]) => Socket

/** @internal */
export function openSocket(make: SocketConstructor, url: string, token: string, ears: Ears): Wire {
  const ws = new make(url.replace(/^http/, 'ws'), token ? ['weir', 'token.' + token] : ['weir'])
  ws.onmessage = (e) => ears.hear_(JSON.parse(e.data))
  ws.onclose = (e) => ears.end_(e.code, e.reason)
  ws.onerror = () => {} // a close follows
  return {
    send_: (m) => ws.send(JSON.stringify(m)),
    close_: () => {
      ws.onmessage = ws.onclose = null
      ws.close(1000)
    },
  }
}

/** An event of an event stream. */
export interface StreamEvent {
  event: string
  data: string
  id: string
}

/** @internal Reads an event stream to its end. Answers the close code and the reason that fit how it ended. */
export async function readStream(
  get: typeof fetch, url: string, headers: Record<string, string>, signal: AbortSignal,
  each: (e: StreamEvent) => void, alive: () => void,
): Promise<[number, string]> {
  const r = await get(url, { headers: { accept: 'text/event-stream', ...headers }, signal, cache: 'no-store' })
  if (r.status !== 200) return refusal(r)
  const decoder = new TextDecoder()
  const reader = r.body!.getReader()
  let rest = ''
  let event = ''
  let data: string[] = []
  let id = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return [1006, 'the stream ended']
    alive()
    const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop()!
    for (const line of lines) {
      const at = line.indexOf(':')
      const field = at < 0 ? line : line.slice(0, at)
      const text = at < 0 ? '' : line.slice(line[at + 1] === ' ' ? at + 2 : at + 1)
      if (field === 'event') event = text
      if (field === 'data') data.push(text)
      if (field === 'id') id = text
      if (line !== '') continue
      if (data.length) each({ event: event || 'message', data: data.join('\n'), id })
      event = ''
      data = []
    }
  }
}

/** @internal What an HTTP status means, as the close code and the reason that ask for the same. */
export async function refusal(r: Response): Promise<[number, string]> {
  const code = { 204: 1000, 401: 4001, 403: 4003, 429: 1013, 503: 1013 }[r.status] ?? 1006
  const wait = Number(r.headers.get('retry-after'))
  const { channel } = await r.json().catch(() => ({}))
  return [code, channel ? 'channel=' + channel : code === 1013 && wait > 0 ? `retry=${wait * 1000}` : 'HTTP ' + r.status]
}
