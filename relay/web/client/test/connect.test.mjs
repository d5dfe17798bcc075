import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import WebSocket, { WebSocketServer } from 'ws'
import { connect } from '../dist/weir.js' // as it is served

/** A relay that does what a test says: each connection is a list of what the client said, and a way to answer. */
async function relay(t, { sockets = true, http } = {}) {
  const waiting = []
  const ready = []
  const server = createServer((req, res) => (http ? http(req, res) : res.writeHead(404).end('{}')))
  const wss = new WebSocketServer({ noServer: true, handleProtocols: () => 'weir' })
  server.on('upgrade', (req, socket, head) => {
    if (!sockets) return socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
    wss.handleUpgrade(req, socket, head, (ws) => {
      const heard = []
      const wanted = []
      ws.on('message', (data) => {
        const m = JSON.parse(data)
        if (wanted.length) wanted.shift()(m)
        else heard.push(m)
      })
      const c = {
        token: req.headers['sec-websocket-protocol'].replace('weir,token.', ''),
        query: new URL(req.url, 'http://relay').searchParams,
        say: (m) => ws.send(JSON.stringify(m)),
        next: () => (heard.length ? heard.shift() : new Promise((done) => wanted.push(done))),
        close: (code, reason) => ws.close(code, reason),
        cut: () => ws.terminate(),
        hello: (more) => c.say({ ...more, type: 'connected', connectionId: 'c' + Math.random(), userId: 'ann', channel: 'user:ann', heartbeat: 25000, position: at(0) }),
      }
      if (waiting.length) waiting.shift()(c)
      else ready.push(c)
    })
  })
  await new Promise((up) => server.listen(0, '127.0.0.1', up))
  t.after(() => {
    wss.clients.forEach((ws) => ws.terminate())
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${server.address().port}`, next: () => (ready.length ? ready.shift() : new Promise((done) => waiting.push(done))) }
}
const at = (seq, epoch = 'e1') => ({ epoch, seq })
const status = (weir, want) => new Promise((done) => (weir.status === want ? done() : weir.on('status', (s) => s.status === want && done(s))))
function client(t, url, options) {
  const weir = connect(url, { WebSocket, ...options })
  t.after(() => weir.close())
  return weir
}

test('the address names the channels, and where they stand', async (t) => {
  const r = await relay(t)
  const weir = client(t, r.url)
  const rooms = ['room:1', 'room:2'].map((name) => weir.channel(name))
  const synced = rooms.map((room) => new Promise((done) => room.on('sync', done)))
  let c = await r.next()
  assert.deepEqual(c.query.getAll('channel'), ['room:1', 'room:2'])
  assert.deepEqual(c.query.getAll('position'), ['', ''])
  c.hello({ channels: 2 })
  for (const channel of ['room:1', 'room:2']) c.say({ type: 'subscribed', channel, position: at(3, 'e+/='), recovered: false, state: {} })
  await Promise.all(synced)
  const seen = []
  rooms[0].on('change', (change) => seen.push(change.data))
  const third = weir.channel('room:3') // while it is open, one is asked for by a command
  let m = await c.next()
  assert.deepEqual([m.type, m.channel], ['subscribe', 'room:3'])
  rooms[1].close()
  m = await c.next()
  assert.deepEqual([m.type, m.channel], ['unsubscribe', 'room:2'])

  // It comes back with one request: what was not answered yet is among it, and what is closed meanwhile is given back.
  c.cut()
  c = await r.next()
  assert.deepEqual(c.query.getAll('channel'), ['room:1', 'room:3'])
  assert.deepEqual(c.query.getAll('position'), ['e+/=:3', ''])
  const again = new Promise((done) => rooms[0].on('sync', done))
  third.close()
  const late = weir.channel('room:4') // too late for the address
  c.hello({ channels: 2 })
  c.say({ type: 'subscribed', channel: 'room:1', position: at(4, 'e+/='), recovered: true, changes: [{ seq: 4, op: 'send', data: 'missed' }] })
  assert.equal((await again).recovered, true)
  assert.deepEqual(seen, ['missed'])
  m = await c.next()
  assert.deepEqual([m.type, m.channel], ['subscribe', 'room:4'])
  m = await c.next()
  assert.deepEqual([m.type, m.channel], ['unsubscribe', 'room:3'])
  c.say({ type: 'error', channel: 'room:3', code: 'forbidden', message: 'no', retryable: false })
  const lost = new Promise((done) => late.on('error', done))
  c.say({ type: 'unsubscribed', channel: 'room:4', code: 'forbidden', reason: 'no' })
  assert.equal((await lost).code, 'forbidden')

  // What has no room in the address is asked for by commands.
  c.cut()
  const many = [...Array(100).keys()].map((i) => weir.channel('long:' + 'x'.repeat(50) + i))
  c = await r.next()
  const first = c.query.getAll('channel')
  assert.ok(first.length > 20 && first.length < 100, first.length)
  c.hello({ channels: first.length })
  const rest = new Set([...many.map((x) => x.name), 'room:1'].filter((name) => !first.includes(name)))
  while (rest.size) {
    m = await c.next()
    assert.equal(m.type, 'subscribe')
    assert.ok(rest.delete(m.channel), m.channel)
  }
})

test('each change is seen once, whatever breaks in between', async (t) => {
  const r = await relay(t)
  const weir = client(t, r.url)
  const room = weir.channel('room:1')
  const seen = []
  room.on('change', (c) => seen.push([c.op, c.key, c.data]))
  let c = await r.next()
  c.hello()
  let m = await c.next()
  assert.deepEqual([m.type, m.channel, m.position], ['subscribe', 'room:1', undefined])
  c.say({ type: 'subscribed', id: m.id, channel: 'room:1', position: at(3), recovered: false, state: { items: { a: 1, __proto__x: 2 } } })
  c.say({ type: 'channel_update', channel: 'room:1', seq: 4, op: 'send', data: 'four' })
  // 5 and 6 were conflated into 7.
  c.say({ type: 'batch', channel: 'room:1', messages: [{ seq: 7, op: 'set', group: 'items', key: 'a', data: 7 }, { seq: 8, op: 'delete', group: 'items', key: '__proto__x' }] })
  c.say({ type: 'ok', id: 'nothing' })
  await new Promise((done) => room.on('change', (x) => x.seq === 8 && done()))
  c.cut()
  c = await r.next()
  c.hello()
  c.say({ type: 'channel_update', channel: 'room:1', seq: 9, op: 'send', data: 'too early: part of the answer' })
  m = await c.next()
  assert.deepEqual(m.position, at(8))
  c.say({ type: 'subscribed', id: m.id, channel: 'room:1', position: at(10), recovered: true, changes: [{ seq: 8, op: 'send', data: 'had' }, { seq: 9, op: 'send', data: 'nine' }, { seq: 10, op: 'send', data: 'ten' }] })
  c.say({ type: 'channel_update', channel: 'room:1', seq: 10, op: 'send', data: 'had' })
  c.say({ type: 'channel_update', channel: 'room:1', seq: 11, op: 'send', data: 'eleven' })
  await new Promise((done) => room.on('change', (x) => x.seq === 11 && done()))
  // The log was lost: the differences are told.
  c.say({ type: 'resync', channel: 'room:1', position: at(2, 'e2'), state: { items: { b: 1 } }, lost: true })
  c.say({ type: 'channel_update', channel: 'room:1', seq: 3, op: 'set', group: 'items', key: 'b', data: 2 })
  await new Promise((done) => room.on('change', (x) => x.seq === 3 && done()))
  assert.deepEqual(seen, [
    ['set', 'a', 1], ['set', '__proto__x', 2], ['send', undefined, 'four'], ['set', 'a', 7], ['delete', '__proto__x', undefined],
    ['send', undefined, 'nine'], ['send', undefined, 'ten'], ['send', undefined, 'eleven'],
    ['delete', 'a', undefined], ['set', 'b', 1], ['set', 'b', 2],
  ])
  assert.deepEqual([...room.state.get('items')], [['b', 2]])
  assert.deepEqual(room.position, at(3, 'e2'))
})

test('what is published meanwhile is sent when it can be, and again with the same key', async (t) => {
  const r = await relay(t)
  const weir = client(t, r.url)
  const done = weir.channel('room:1').publish({ x: 1 }, { key: 'k' })
  let c = await r.next()
  c.hello()
  await c.next()
  const first = await c.next()
  const event = weir.emit('chat.typing.start', {})
  assert.deepEqual([first.type, first.key, first.data], ['publish', 'k', { x: 1 }])
  assert.equal((await c.next()).type, 'event')
  c.cut()
  await assert.rejects(event, { code: 'connection_lost' }) // nobody knows, and it is over
  c = await r.next()
  c.hello()
  assert.equal((await c.next()).type, 'subscribe')
  const again = await c.next()
  assert.deepEqual(again, first)
  c.say({ type: 'ok', id: again.id, position: at(5) })
  assert.deepEqual(await done, at(5))
  const refused = weir.channel('room:1').history()
  const m = await c.next()
  c.say({ type: 'error', id: m.id, code: 'forbidden', message: 'not allowed', retryable: false })
  await assert.rejects(refused, { code: 'forbidden', retryable: false })
})

test('close codes are obeyed', async (t) => {
  for (const code of [1000, 1003, 1009, 4003]) {
    const r = await relay(t)
    const weir = client(t, r.url)
    const c = await r.next()
    c.hello()
    await status(weir, 'open')
    c.close(code, 'go')
    await status(weir, 'closed')
    await assert.rejects(weir.command({ type: 'history', channel: 'a' }), { code: 'connection_lost' })
  }
  const r = await relay(t)
  let asked = 0
  const weir = client(t, r.url, { token: async () => 'token' + ++asked })
  let c = await r.next()
  assert.equal(c.token, 'token1')
  c.hello()
  await status(weir, 'open')
  let since = Date.now()
  c.close(4100, 'retry=700')
  c = await r.next()
  assert.ok(Date.now() - since >= 690)
  assert.equal(c.token, 'token1') // it is good still
  c.hello()
  await status(weir, 'open')
  c.close(4001, 'token expired')
  c = await r.next()
  assert.equal(c.token, 'token2')
  c.hello()
  await status(weir, 'open')
  since = Date.now()
  c.close(4029, 'too many commands')
  await r.next()
  assert.ok(Date.now() - since >= 2400, 'it backs off for longer')
})

test('a token is replaced before it is over', async (t) => {
  const r = await relay(t)
  let asked = 0
  client(t, r.url, { token: () => 'token' + ++asked })
  const c = await r.next()
  c.say({ type: 'connected', connectionId: 'c', userId: 'ann', channel: 'user:ann', expiresIn: 400 })
  const m = await c.next()
  assert.deepEqual([m.type, m.token], ['refresh', 'token2'])
  c.say({ type: 'ok', id: m.id, expiresIn: 400 })
  assert.equal((await c.next()).token, 'token3')
})

test('where no WebSocket gets through, an event stream and POST do the same', async (t) => {
  const streams = []
  const posted = []
  const r = await relay(t, {
    sockets: false,
    http(req, res) {
      if (req.method === 'POST') {
        let body = ''
        req.on('data', (d) => (body += d))
        return req.on('end', () => {
          const m = JSON.parse(body)
          posted.push([req.url, req.headers.authorization, m])
          res.end(JSON.stringify({ type: 'ok', id: m.id, position: at(9) }))
        })
      }
      const query = new URL(req.url, 'http://x').searchParams
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      const say = (m) => res.write(`event: ${m.type}\ndata: ${JSON.stringify(m)}\nid: x\n\n:heartbeat\n\n`)
      say({ type: 'connected', connectionId: 'c', userId: 'ann', channel: 'user:ann' })
      streams.push({ channels: query.getAll('channel'), positions: query.getAll('position'), say, end: () => res.end() })
    },
  })
  const weir = client(t, r.url, { token: 'abc' })
  const a = weir.channel('a')
  const seen = []
  a.on('change', (c) => seen.push(c.data))
  await status(weir, 'open')
  assert.deepEqual([streams[0].channels, streams[0].positions], [['a'], ['']])
  streams[0].say({ type: 'subscribed', channel: 'a', position: at(1), recovered: false, state: {} })
  streams[0].say({ type: 'channel_update', channel: 'a', seq: 2, op: 'send', data: 'zwei\n😅' })
  await new Promise((done) => a.on('change', done))
  const b = weir.channel('b') // the stream is opened anew, from where it stood
  await new Promise((done) => {
    const wait = setInterval(() => streams[1] && (clearInterval(wait), done()), 5)
  })
  assert.deepEqual([streams[1].channels, streams[1].positions], [['a', 'b'], ['e1:2', '']])
  streams[1].say({ type: 'subscribed', channel: 'a', position: at(3), recovered: true, changes: [{ seq: 3, op: 'send', data: 'drei' }] })
  streams[1].say({ type: 'unsubscribed', channel: 'b', code: 'forbidden', reason: 'not allowed' })
  assert.equal((await new Promise((done) => b.on('error', done))).code, 'forbidden')
  assert.deepEqual(await a.publish(1), at(9))
  assert.deepEqual([posted[0][0], posted[0][1], posted[0][2].type], ['/command?features=append', 'Bearer abc', 'publish'])
  assert.deepEqual(seen, ['zwei\n😅', 'drei'])
})

test('a token that does not come is no reason to give up WebSockets', async (t) => {
  const r = await relay(t)
  let asked = 0
  const weir = client(t, r.url, { token: async () => {
    if (++asked === 1) throw new Error('the backend is away')
    return 'token' + asked
  } })
  const waiting = status(weir, 'waiting')
  const c = await r.next() // the relay of this test has nothing else
  assert.match((await waiting).reason, /the backend is away/)
  assert.equal(c.token, 'token2')
})

test('an event stream takes a new token, or says that it does not and goes on with the old one', async (t) => {
  const opened = []
  const r = await relay(t, {
    sockets: false,
    http(req, res) {
      const token = req.headers.authorization.replace('Bearer ', '')
      if (req.method === 'POST') {
        return req.on('data', (d) => res.end(JSON.stringify({ type: 'pong', id: JSON.parse(d).id })))
      }
      opened.push(token)
      if (token === 'bad') return res.writeHead(401, { 'content-type': 'application/problem+json' }).end('{}')
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write(`data: ${JSON.stringify({ type: 'connected', connectionId: 'c', userId: 'ann', channel: 'user:ann', expiresIn: 5000000 })}\n\n`)
    },
  })
  const weir = client(t, r.url, { token: 'one', transport: 'sse' })
  const seen = []
  weir.on('status', (s) => seen.push(s.status))
  await status(weir, 'open')
  await assert.rejects(weir.command({ type: 'refresh', token: 'bad' }), { code: 'unauthorized', retryable: false })
  const ok = await weir.command({ type: 'refresh', token: 'two' })
  assert.deepEqual([ok.type, ok.expiresIn], ['ok', 5000000])
  assert.equal(opened.at(-1), 'two')
  assert.ok(opened.includes('bad') && !seen.includes('waiting'), opened + ': ' + seen)
  assert.equal((await weir.command({ type: 'ping' })).type, 'pong')
})

test('a client without a token comes back once with what it was given, and asks the backend', async (t) => {
  const r = await relay(t)
  const weir = client(t, r.url)
  let data
  weir.on('connected', (m) => (data ??= m.data))
  let c = await r.next()
  assert.equal(c.query.get('resume'), null)
  c.hello({ resume: 'ticket_1', data: { theme: 'dark' } })
  const result = weir.call('cart.add', { sku: 7 }, { ordered: true })
  const { id, ...m } = await c.next()
  assert.deepEqual(m, { type: 'call', method: 'cart.add', data: { sku: 7 }, ordered: true })
  c.say({ type: 'result', id, data: { items: 3 } })
  assert.deepEqual(await result, { items: 3 })
  assert.deepEqual(data, { theme: 'dark' })
  const no = weir.call('cart.clear')
  c.say({ type: 'error', id: (await c.next()).id, code: 'forbidden', message: 'not yours', retryable: false })
  await assert.rejects(no, { code: 'forbidden' })
  c.cut()
  c = await r.next()
  assert.equal(c.query.get('resume'), 'ticket_1')
  c.cut() // before there was another
  c = await r.next()
  assert.equal(c.query.get('resume'), null)
})
