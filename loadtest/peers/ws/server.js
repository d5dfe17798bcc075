// A broadcast server as one first writes it with npm ws: a Set of sockets for each channel, JSON.stringify
// and send. Clients connect to /sub?id=CHANNEL; messages come with POST /pub?id=CHANNEL, or from the clients
// themselves. Everybody may do everything, so it listens on loopback only.
//
//   node server.js ADDRESS           every message is encoded once and sent to each socket
//   node server.js ADDRESS --each    ... is encoded again for each socket
//   node server.js ADDRESS --batch   ... waits up to 50 ms in a queue of each socket, whose messages leave
//                                    together: lines of one WebSocket message, encoded for each socket
import { createServer } from 'node:http'
import { WebSocket, WebSocketServer } from 'ws'

class Pool {
  #pools = new Map()

  add(channel, ws) {
    if (!this.#pools.has(channel)) this.#pools.set(channel, new Set())
    this.#pools.get(channel).add(ws)
  }

  remove(channel, ws) {
    const pool = this.#pools.get(channel)
    if (!pool) return
    pool.delete(ws)
    if (pool.size === 0) this.#pools.delete(channel)
  }

  open(channel, use) {
    for (const ws of this.#pools.get(channel) ?? []) {
      if (ws.readyState === WebSocket.OPEN) use(ws)
    }
  }

  once(channel, message) {
    const data = JSON.stringify(message)
    this.open(channel, (ws) => ws.send(data))
  }

  each(channel, message) {
    this.open(channel, (ws) => ws.send(JSON.stringify(message)))
  }
}

class Batcher {
  #queue = new Map()

  add(ws, message) {
    if (!this.#queue.has(ws)) {
      this.#queue.set(ws, [])
      setTimeout(() => this.flush(ws), 50)
    }
    this.#queue.get(ws).push(message)
  }

  flush(ws) {
    const messages = this.#queue.get(ws)
    this.#queue.delete(ws)
    if (ws.readyState === WebSocket.OPEN) ws.send(messages.map((m) => JSON.stringify(m)).join('\n'))
  }
}

const [address = '', mode = '--once'] = process.argv.slice(2)
const [, host, port] = /^(127\.\d+\.\d+\.\d+|localhost):(\d+)$/.exec(address) ?? []
const pool = new Pool()
const batcher = new Batcher()
const broadcast = {
  '--once': (channel, message) => pool.once(channel, message),
  '--each': (channel, message) => pool.each(channel, message),
  '--batch': (channel, message) => pool.open(channel, (ws) => batcher.add(ws, message)),
}[mode]
if (!host || !broadcast) {
  console.error('usage: node server.js 127.0.0.1:PORT [--once|--each|--batch]')
  process.exit(2)
}

const channelOf = (req) => new URL(req.url, 'http://host').searchParams.get('id') ?? ''

const parse = (text) => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const http = createServer({ keepAliveTimeout: 600_000 }, (req, res) => {
  const chunks = []
  req.on('data', (chunk) => chunks.push(chunk))
  req.on('end', () => {
    const message = parse(Buffer.concat(chunks).toString())
    if (req.method === 'POST' && message !== undefined) broadcast(channelOf(req), message)
    res.writeHead(req.method === 'POST' && message !== undefined ? 200 : 400)
    res.end()
  })
})

new WebSocketServer({ server: http, perMessageDeflate: false }).on('connection', (ws, req) => {
  const channel = channelOf(req)
  pool.add(channel, ws)
  ws.on('message', (data) => {
    const message = parse(data.toString())
    if (message === undefined) ws.send(JSON.stringify({ type: 'error', message: 'Invalid message format' }))
    else broadcast(channel, message)
  })
  ws.on('close', () => pool.remove(channel, ws))
  ws.on('error', () => {}) // close follows
})

http.listen({ port: Number(port), host, backlog: 4096 })
