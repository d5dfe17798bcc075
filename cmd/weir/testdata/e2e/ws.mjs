// The npm package ws as a client: subscribe, receive, publish, be refused, resume.
import WebSocket from 'ws'
import { base, token, publish, Inbox, equal } from './lib.mjs'

async function connect() {
  const ws = new WebSocket(base.replace('http', 'ws') + '/ws', ['weir', 'token.' + token])
  const inbox = new Inbox()
  ws.on('message', (data) => {
    const m = JSON.parse(data)
    if (m.type !== 'batch') return inbox.push(m)
    const once = m.channel ? { type: 'channel_update', channel: m.channel } : {}
    for (const x of m.messages) inbox.push({ ...once, ...x })
  })
  ws.on('error', (err) => inbox.push({ type: 'failed', err }))
  ws.on('close', (code) => inbox.push({ type: 'closed', code }))
  const hello = await inbox.until(() => true, 'the first frame')
  equal(hello.type, 'connected', 'first frame')
  equal(ws.protocol, 'weir', 'subprotocol')
  return { ws, inbox, hello, send: (m) => ws.send(JSON.stringify(m)), until: (t, f = {}) =>
    inbox.until((m) => m.type === t && Object.entries(f).every(([k, v]) => m[k] === v), `${t} ${JSON.stringify(f)}`) }
}

const a = await connect()
a.send({ type: 'subscribe', id: 1, channel: 'e2e:ws' })
const at = (await a.until('subscribed', { id: 1 })).position
for (let i = 0; i < 100; i++) await publish({ channel: 'e2e:ws', data: { i, text: 'é😅\n' } })
let seq = at.seq
for (let i = 0; i < 100; i++) {
  const m = await a.until('channel_update')
  equal(m.data, { i, text: 'é😅\n' }, `message ${i}`)
  if (m.seq <= seq) throw new Error(`seq went from ${seq} to ${m.seq}`)
  seq = m.seq
}
a.send({ type: 'subscribe', id: 2, channel: 'user:somebody-else' })
equal((await a.until('error', { id: 2 })).code, 'forbidden', 'another user’s channel')
a.send({ type: 'publish', id: 3, channel: 'e2e:ws', data: 'mine' })
const mine = (await a.until('ok', { id: 3 })).position
equal((await a.until('channel_update')).data, 'mine', 'own publish')
a.ws.terminate()
for (const n of [1, 2, 3]) await publish({ channel: 'e2e:ws', data: n })
const b = await connect()
b.send({ type: 'subscribe', id: 1, channel: 'e2e:ws', position: mine })
const again = await b.until('subscribed', { id: 1 })
equal(again.recovered, true, 'recovered')
equal(again.changes.map((c) => c.data), [1, 2, 3], 'missed')
b.ws.close(1000)
equal((await b.until('closed')).code, 1000, 'close code')
console.log('ok')
