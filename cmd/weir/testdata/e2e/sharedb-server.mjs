// The relay's answers to ShareDB's messages beside those of ShareDB's own server (npm sharedb, with its database in
// memory): the same conversation with both, and what differs is named here.
import { createRequire } from 'node:module'
import { createServer } from 'node:http'
import { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import { base, token, equal } from './lib.mjs'

const require = createRequire(import.meta.url)
const Backend = require('sharedb')
const { type } = require('ot-text-unicode')
Backend.types.register(type)
Backend.logger.setMethods({ info() {}, warn() {}, error: console.error })

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
const http = createServer()
await new Promise((done) => http.listen(0, '127.0.0.1', done))
const own = new Backend()
new WebSocketServer({ server: http }).on('connection', (ws) => {
  const stream = new Duplex({ objectMode: true, read() {}, write(m, _, done) { ws.send(JSON.stringify(m)); done() } })
  ws.on('message', (data) => stream.push(JSON.parse(data)))
  ws.on('close', () => stream.destroy())
  own.listen(stream)
})

const c = 'notes', d = 'compared' + process.pid
const op = (v, seq, src, ...components) => ({ a: 'op', c, d, v, seq, ...(src && { src }), x: {}, op: components })
const create = (v, seq, src) => ({ a: 'op', c, d, v, seq, ...(src && { src }), x: {}, create: { type: type.uri, data: 'hello' } })
const missed = 'the relay tells what was missed before the acknowledgement, so that it does not skip a version'
const malformed = 'an operation that is none has one code here, whatever its version; there it depends on that'
// Each line: what is sent at once, and why the answers differ, if they do.
const conversation = [
  [{ a: 'hs', id: 'me', protocol: 1, protocolMinor: 2 }],
  [{ a: 'f', c, d }],
  [op(0, 1, 'me', 'x')], // there is no document yet
  [create(null, 1)],
  [create(null, 1, 'me')], // again
  [create(0, 1, 'me')],
  [create(0, 7, 'you')],
  [create(null, 7, 'you')],
  [op(1, 2, 'me', 5, ' B')],
  [op(2, 3, 'you', 'a')],
  [op(3, 4, 'you', 'b')],
  [op(2, 3, 'me', 7, 'C')], // at an old version
  [op(2, 3, 'me', 7, 'C'), missed], // again
  [op(4, 3, 'me', 9, 'C')], // again, at the version that it was applied at
  [op(4, 5, 'me', 'z')], // does not know the one before
  [op(5, 6, 'me')], // changes nothing
  [op(99, 9, 'me', 'z')],
  [{ a: 'f', c, d, v: 3 }],
  [{ a: 'f', c, d, v: 7 }],
  [{ a: 'f', c, d, v: 99 }, 'a client that is ahead has seen what is lost: the relay says so'],
  [{ a: 's', c, d, v: 99 }, 'the same'],
  [{ a: 'f', c, d }],
  [op(7, 20, 'me', 99, 'x')],
  [op(7, 20, 'me', -1, 'x'), malformed],
  [op(7, 20, 'me', 0, 'x'), malformed],
  [op(7, 20, 'me', 1, 2, 'x'), malformed],
  [op(7, 20, 'me', ''), malformed],
  [{ a: 'op', c, d, v: 7, src: 'me', op: ['x'] }],
  [{ a: 'op', c, d, v: 7, seq: 'x', op: ['x'] }],
  [{ a: 'nf', id: 4, c, d, v: 1 }],
  [{ a: 'nf', id: 5, c, d, v: null }],
  [{ a: 'nf', id: 6, c, d: d + 'none', v: null }],
  [{ a: 'nf', id: 7, c, d, v: 99 }],
  [{ a: 'bf', c, b: [d, d + 'none'] }],
  [{ a: 'bf', c, b: { [d]: 4, [d + 'none']: 0 } }],
  [{ a: 'bs', c, b: [d, d + 'none'] }],
  [op(7, 21, null, '!')], // subscribed
  [op(7, 21, 'me', '!')],
  [{ a: 'bs', c, b: { [d]: 5, [d + 'none']: 0 } }],
  [{ a: 's', c, d, v: 6 }],
  [{ a: 'bu', c, b: [d, d + 'none'] }],
  [{ a: 'u', c, d }],
  [op(6, 22, 'me', '?')],
  [{ a: 'pp' }],
  [{ a: 'zz' }],
  [{}],
  [{ a: 's', c: 1, d }],
  [{ a: 's', c, d, v: -1 }],
  [{ a: 's', c, d, v: 'x' }],
  [{ a: 'bs', c, b: 'x' }],
  [op(9, 23, 'me', { d: 99 }), 'the relay takes no operation beyond the end'],
]

/** Whether m is the last message of the answer to a request. */
const last = (request) => (m) => m.error || (m.a === request.a && (m.a !== 'op' || (m.seq === request.seq && !m.op && !m.create)))

async function talk(url, protocols) {
  const ws = new WebSocket(url, protocols)
  const got = [], answers = []
  ws.on('message', (data) => got.push(JSON.parse(data)))
  await new Promise((done) => ws.on('open', done))
  while (got.length === 0) await sleep(5) // init
  got.length = 0
  for (const [request] of conversation) {
    ws.send(JSON.stringify(request))
    const end = Date.now() + 5000
    while (!got.some(last(request))) {
      if (Date.now() > end) throw new Error(`no answer to ${JSON.stringify(request)}: ${JSON.stringify(got)}`)
      await sleep(2)
    }
    await sleep(20) // what comes behind
    answers.push(got.splice(0))
  }
  ws.close()
  return answers
}

/** Members in one order; words of errors are each server's own, and so is a code where there is none over there. */
const plain = (messages, other) => messages.map((m, i) => {
  const x = Object.fromEntries(Object.entries(m).filter(([k, v]) => !(k === 'm' && v === null)).sort(([a], [b]) => (a < b ? -1 : 1)))
  if (x.error) x.error = other[i]?.error?.code && x.error.code
  return x
})

const theirs = await talk(`ws://127.0.0.1:${http.address().port}`, [])
const ours = await talk(base.replace('http', 'ws') + '/documents/sharedb', ['weir', 'token.' + token])
const differ = []
for (const [i, [request, why]] of conversation.entries()) {
  const [g, w] = [JSON.stringify(plain(ours[i], theirs[i])), JSON.stringify(plain(theirs[i], ours[i]))]
  if (!why && g !== w) differ.push(`${JSON.stringify(request)}\n  is answered ${g}\n  and by their server ${w}`)
  if (why && g === w) differ.push(`${JSON.stringify(request)} is answered alike, but: ${why}`)
  if (why === missed) { // which is what their server answers to one that is new
    const before = conversation.findIndex(([x]) => JSON.stringify(x) === JSON.stringify(request))
    equal(plain(ours[i], []), plain(theirs[before], []), why)
  }
}
console.log(differ.join('\n') || 'ok')
process.exit(differ.length)
