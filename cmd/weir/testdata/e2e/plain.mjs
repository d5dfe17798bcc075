// A front end of the simplest kind: it knows the messages and the routes by their names and no more, asks for no
// subprotocol, sends no ids and no positions, and takes each message for what it says it is. What backends do here
// is done with their API.
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import WebSocket from 'ws'
import { base, post, Inbox, equal } from './lib.mjs'

const mint = (sub, ...more) => execFileSync(process.env.E2E_BINARY, ['token', '--dev', '--sub', sub, ...more], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
const bearer = (token) => ({ authorization: 'Bearer ' + token })
const tokens = { ann: mint('ann', '--name', 'Ann'), bob: mint('bob'), boss: mint('boss', '--role', 'admin') }
const check = (good, what, saw) => { if (!good) throw new Error(`${what}: ${JSON.stringify(saw)}`) }
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

// open connects a user to a path. What arrives is taken from the inbox, that of batches one by one.
async function open(user, path = '/ws') {
  const ws = new WebSocket(base.replace('http', 'ws') + path, { headers: bearer(tokens[user]) })
  const inbox = new Inbox()
  const handle = (m) => (m.type === 'batch' ? m.messages.forEach(handle) : inbox.push(m))
  ws.on('message', (raw) => handle(JSON.parse(raw)))
  await new Promise((done, fail) => ws.on('open', done).on('error', fail))
  return {
    ws,
    send: (m) => ws.send(typeof m === 'string' ? m : JSON.stringify(m)),
    any: () => inbox.until(() => true, 'anything'),
    is: (type, fits = () => true) => inbox.until((m) => m.type === type && fits(m), `${type} for ${user} at ${path}`),
  }
}

async function call(user, method, path, body) {
  const r = await fetch(base + path, { method, headers: { ...bearer(tokens[user]), 'content-type': 'application/json' }, body: body && JSON.stringify(body) })
  const text = await r.text()
  return { status: r.status, body: text && JSON.parse(text) }
}

async function backend(path, body, kind = 'application/json') {
  const r = await fetch(base + path, { method: body ? 'POST' : 'GET', headers: { ...bearer('dev'), 'content-type': kind }, body })
  return kind === 'application/json' ? r.json() : r.text()
}

const systems = {
  async connections() {
    const c = await open('ann')
    const hello = await c.any()
    equal([hello.type, hello.userId], ['connected', 'ann'], 'the first message')
    const record = async () => (await backend('/v1/connections?user=ann')).connections.find((x) => x.connectionId === hello.connectionId)
    const first = await record()
    check(first.userId === 'ann' && new Date(first.connectedAt).toISOString() === first.connectedAt && first.lastPing > 1e12, 'the record', first)
    for (const end = Date.now() + 5000; (await record()).lastPing <= first.lastPing; ) {
      if (Date.now() > end) throw new Error('lastPing does not advance')
      c.send({ type: 'ping' })
      await c.is('pong')
    }
    c.send('not json')
    equal((await c.is('error')).message, 'Invalid message format', 'what is no JSON')
    await post('/v1/publish', { channel: 'user:ann', data: { n: 1 } })
    equal((await c.is('update')).data, { n: 1 }, 'the user’s own channel')
    c.send({ type: 'message', content: 'hello' })
    await c.is('ok')
    c.ws.close()
    for (const end = Date.now() + 5000; await record(); ) if (Date.now() > end) throw new Error('the record stays')
    const refused = await open('none').catch((err) => String(err))
    check(/401/.test(refused), 'a bad token', refused)
  },

  async channels() {
    const c = await open('ann')
    c.send({ type: 'subscribe', channel: 'seed:news' })
    await c.is('subscribed')
    await backend('/v1/publish', Array.from({ length: 40 }, (_, i) => JSON.stringify({ channel: 'seed:news', data: { i } })).join('\n'), 'application/x-ndjson')
    for (let i = 0; i < 40; i++) {
      const m = await c.is('channel_update', (m) => m.channel === 'seed:news')
      equal(m.data, { i }, 'what was published')
    }
    c.send({ type: 'subscribe', channel: 'user:bob' })
    await c.is('error')
    c.ws.close()
  },

  async chat() {
    equal((await call('ann', 'POST', '/chat/rooms', { name: '' })).status, 400, 'a room without a name')
    const { status, body: room } = await call('ann', 'POST', '/chat/rooms', { name: 'Kitchen', isPrivate: true, members: ['bob', 'ann', 'bob'] })
    equal([status, room.name, room.createdBy, room.isPrivate, room.members], [201, 'Kitchen', 'ann', true, ['ann', 'bob']], 'the room')
    check(uuid.test(room.id), 'the id of a room', room.id)
    const c = await open('bob')
    c.send({ type: 'subscribe', channel: 'room:' + room.id })
    await c.is('subscribed')
    const path = `/chat/rooms/${room.id}/messages`
    const sent = await call('ann', 'POST', path, { content: 'hi', metadata: { k: 1 } })
    const { id, roomId, userId, content, type, metadata, edited, reactions } = sent.body
    equal([sent.status, roomId, userId, content, type, metadata, edited, reactions], [201, room.id, 'ann', 'hi', 'text', { k: 1 }, false, {}], 'the message')
    check(uuid.test(id), 'the id of a message', id)
    const { data } = await c.is('channel_update', (m) => m.data?.type === 'new_message')
    equal([data.message.id, data.user.id, data.user.name], [id, 'ann', 'Ann'], 'what members are told')
    equal((await call('ann', 'GET', '/chat/rooms/' + room.id)).body.lastMessage, { messageId: id, content: 'hi', userId: 'ann' }, 'the last message')
    equal((await call('ann', 'POST', path, { content: 'x'.repeat(1001) })).status, 400, 'a long message')
    for (const stranger of [room.id, randomUUID()]) {
      const { status, body } = await call('boss', 'POST', `/chat/rooms/${stranger}/messages`, { content: 'x' })
      equal([status, body], [403, { error: 'Not a member of this room' }], 'somebody who is no member')
    }
    // Typing.
    await post('/v1/events', { topic: 'chat.typing.start', data: { roomId: room.id, userId: 'ann' } })
    const typing = await c.is('channel_update', (m) => m.group === 'typing')
    check(typing.data.userId === 'ann' && typing.data.startedAt > 1e12, 'who is typing', typing)
    await post('/v1/events', { topic: 'chat.typing.stop', data: { roomId: room.id, userId: 'ann' } })
    await c.is('channel_update', (m) => m.group === 'typing' && m.op === 'delete')
    c.ws.close()
  },

  async documents() {
    const path = `/documents/seed-${randomUUID()}/collaborate`
    const a = await open('ann', path)
    const b = await open('bob', path)
    await a.is('document')
    await b.is('document')
    const text = { a: '', b: '' }
    // apply is the whole of what this front end knows of operations.
    const apply = (s, operation) => {
      const from = [...s]
      let out = ''
      for (const c of operation) out += typeof c === 'string' ? c : typeof c === 'number' ? from.splice(0, c).join('') : (from.splice(0, c.d), '')
      return out + from.join('')
    }
    const both = async (who) => {
      for (const [k, c] of Object.entries({ a, b })) {
        const m = await c.is('operation')
        equal(m.userId, who, 'whose operation it is')
        check(m.timestamp > 1e12 && m.id, 'an operation', m)
        text[k] = apply(text[k], m.operation)
      }
    }
    a.send({ type: 'operation', operation: ['hello'] })
    await both('ann')
    b.send({ type: 'operation', operation: [5, ' world'] })
    await both('bob')
    for (const s of ['1', '2', '3']) a.send({ type: 'operation', operation: [11, s] })
    for (let i = 0; i < 3; i++) await both('ann')
    b.send({ type: 'operation', operation: [{ d: 6 }] })
    await both('bob')
    equal(text, { a: 'world321', b: 'world321' }, 'the texts')
    equal((await backend(`/v1/documents/${path.split('/')[2]}`)).text, 'world321', 'the relay’s text')
    a.send({ type: 'cursor', position: 3, selection: null })
    const cursor = await b.is('cursor')
    equal([cursor.userId, cursor.position], ['ann', 3], 'the cursor')
    a.ws.close()
    b.ws.close()
  },

  async presence() {
    const c = await open('ann')
    c.send({ type: 'subscribe', channel: 'presence:seed:lobby' })
    await c.is('subscribed')
    const told = (op) => c.is('channel_update', (m) => m.channel === 'presence:seed:lobby' && m.key === 'bob' && m.op === op)
    const b = await open('bob')
    await b.is('connected')
    b.send({ type: 'event', topic: 'presence.join', data: { channel: 'seed:lobby' } })
    const { data } = await told('set')
    equal([data.id, data.status], ['bob', 'online'], 'who joins')
    check(data.joinedAt > 1e12 && 'name' in data && 'avatar' in data, 'who joins', data)
    b.send({ type: 'event', topic: 'presence.heartbeat', data: { channel: 'seed:lobby' } })
    b.send({ type: 'event', topic: 'presence.leave', data: { channel: 'seed:lobby' } })
    await told('delete')
    b.ws.close()
    c.ws.close()
  },

  async feed() {
    const stop = new AbortController()
    const r = await fetch(base + '/feed/live', { headers: bearer(tokens.ann), signal: stop.signal })
    equal(['content-type', 'cache-control', 'connection', 'x-accel-buffering'].map((h) => r.headers.get(h)?.split(';')[0]),
      ['text/event-stream', 'no-cache', 'keep-alive', 'no'], 'the headers')
    const events = new Inbox()
    const read = (async () => {
      let rest = ''
      for await (const part of r.body.pipeThrough(new TextDecoderStream())) {
        const list = (rest + part).split('\n\n')
        rest = list.pop()
        for (const e of list) events.push(Object.fromEntries(e.split('\n').map((line) => [line.split(': ')[0], line.slice(line.indexOf(': ') + 2)])))
      }
    })().catch(() => {})
    const hello = await events.until((e) => e.event, 'the first event')
    equal([hello.event, JSON.parse(hello.data)], ['connected', { userId: 'ann' }], 'the first event')
    await post('/v1/feed/ann', { type: 'post_liked', data: { by: 'bob' }, id: 'like-1' })
    const e = await events.until((e) => e.event === 'post_liked', 'the item')
    equal([JSON.parse(e.data), e.id], [{ by: 'bob' }, 'like-1'], 'the item')
    stop.abort()
    await read
  },

  async notifications() {
    const c = await open('ann')
    await c.is('connected')
    await post('/v1/events', { topic: 'notification.send', data: { userId: 'ann', title: 'Hi', body: 'there', data: { k: 1 }, priority: 'high' } })
    const { data } = await c.is('update', (m) => m.data?.title)
    equal([data.title, data.body, data.data, data.read], ['Hi', 'there', { k: 1 }, false], 'the notification')
    check(data.timestamp > 1e12, 'when it was', data)
    c.ws.close()
  },

  async analytics() {
    const refused = await open('ann', '/analytics/live').catch((err) => String(err))
    check(/403/.test(refused), 'somebody who is no admin', refused)
    const c = await open('boss', '/analytics/live')
    equal((await c.any()).type, 'snapshot', 'the first message')
    let alert
    c.is('alert').then((m) => (alert = m), () => {})
    for (const end = Date.now() + 15000; !alert; ) {
      if (Date.now() > end) throw new Error('no alert came')
      await backend('/v1/events', Array.from({ length: 100 }, () => JSON.stringify({ topic: 'api.request', data: { value: 0 } })).join('\n'), 'application/x-ndjson')
      await new Promise((done) => setTimeout(done, 100))
    }
    equal([alert.data.level, alert.data.message], ['warning', 'High api activity detected'], 'the alert')
    const d = await open('boss', '/analytics/live')
    await d.is('snapshot')
    await backend('/v1/events', JSON.stringify({ topic: 'api.request', data: { value: 7 } }), 'application/x-ndjson')
    const { data } = await d.is('metric_update', (m) => m.data.type === 'api')
    check(data.action === 'request' && 'value' in data && data.timestamp > 1e12, 'a metric', data)
    c.ws.close()
    d.ws.close()
  },
}

for (const [name, run] of Object.entries(systems)) {
  await run().catch((err) => { throw new Error(`${name}: ${err.message}`, { cause: err }) })
}
console.log('ok')
process.exit()
