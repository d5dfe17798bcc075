// The example app, run by Motia's own core: its steps are files that this runs in processes of their own, as `motia dev` does. Pages
// follow the streams with Motia's client.
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createServer, DefaultCronAdapter, DefaultQueueEventAdapter, getStepConfig, getStreamConfig, LockedData, MemoryStateAdapter, NoPrinter } from '@motiadev/core'
import { Stream } from '@motiadev/stream-client-node'
import { url, start, stop, until, same } from './relay.mjs'
import { WeirStreams } from '../../../../docs/examples/motia/weir-streams.mjs'

process.env.WEIR_AUTH_SECRET = 'a secret of the tests, 32 bytes or more'
process.env.WEIR_API_KEY = 'a-key-of-the-backend-in-the-tests-32-bytes'
process.env.WEIR_URL = url
const dir = mkdtempSync(join(tmpdir(), 'weir-motia-app-'))
process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
cpSync(resolve('../../../../docs/examples/motia'), dir, { recursive: true })
symlinkSync(resolve('node_modules'), join(dir, 'node_modules'))
await start('--config', join(dir, 'weir.yaml'))

// As in motia.config.ts, with what is kept in Redis there kept in memory.
const streamAdapter = new WeirStreams({ url, key: process.env.WEIR_API_KEY, ttl: { typing: 3, cursors: 30, presence: 60 } })
const redis = new Proxy({}, { get: (_, name) => (name === 'then' ? undefined : async () => null) })
const locked = new LockedData(dir, streamAdapter, new NoPrinter(), redis)
for (const file of readdirSync(join(dir, 'steps'), { recursive: true }).map((name) => join(dir, 'steps', name))) {
  if (/\.step\.ts$/.test(file)) {
    if (!locked.createStep({ filePath: file, version: '1', config: await getStepConfig(file, dir) }, { disableTypeCreation: true })) throw new Error('not a step: ' + file)
  } else if (/\.stream\.ts$/.test(file)) {
    locked.createStream({ filePath: file, config: await getStreamConfig(file, dir) }, { disableTypeCreation: true })
  }
}
process.chdir(dir)
const app = createServer(locked, new MemoryStateAdapter(), { isVerbose: false, printer: new NoPrinter() }, {
  eventAdapter: new DefaultQueueEventAdapter(), cronAdapter: new DefaultCronAdapter(), streamAdapter,
})
await new Promise((done) => app.server.listen(0, '127.0.0.1', done))
const at = 'http://127.0.0.1:' + app.server.address().port
const post = async (user, path, body, want) => {
  const r = await fetch(at + path, { method: body ? 'POST' : 'GET', headers: { 'x-user': user, 'content-type': 'application/json' }, body: body && JSON.stringify(body) })
  if (r.status !== want) throw new Error(`${path} answered ${r.status} ${await r.text()}`)
  return r.json()
}

const room = await post('ann', '/chat/rooms', { name: 'Kitchen', members: ['bob'] }, 201)
const pageOf = async (user) => new Stream(url.replace('http', 'ws') + '/motia', { protocols: ['Authorization', (await post(user, '/weir-token', null, 200)).token] })
const page = await pageOf('bob')
const joined = []
const follow = (from, stream, group) => {
  const s = from.subscribeGroup(stream, group)
  joined.push(new Promise((done) => s.addChangeListener(done)))
  return s
}
const admin = await pageOf('admin')
const [messages, typing, presence] = ['messages', 'typing', 'presence'].map((stream) => follow(page, stream, room.id))
const [operations, cursors] = ['operations', 'cursors'].map((stream) => follow(page, stream, 'doc1'))
const [feed, notifications, user] = ['feed', 'notifications', 'user'].map((stream) => follow(page, stream, 'bob'))
const [metrics, alerts] = ['metrics', 'alerts'].map((stream) => follow(admin, stream, 'live'))
await Promise.all(joined)
const denied = []
page.subscribeGroup('metrics', 'live').onEvent('error', (data) => denied.push(data.code))
await same('what bob may not follow', () => denied, ['STREAM_ACCESS_DENIED'])

// Chat, and the notification that comes of it.
const message = await post('ann', `/chat/rooms/${room.id}/messages`, { content: 'hello' }, 201)
await same('the messages', () => messages.getState().map((x) => [x.id, x.user.name, x.message.content]), [[message.id, 'ann', 'hello']])
await post('eve', `/chat/rooms/${room.id}/messages`, { content: 'hello' }, 403)
await same('the notifications', () => notifications.getState().map((x) => [x.title, x.body]), [['ann in Kitchen', 'hello']])
await post('ann', `/chat/rooms/${room.id}/typing`, { typing: true }, 202)
await same('who types', () => typing.getState().map((x) => x.id), ['ann'])
await same('who types, after a while', () => typing.getState().map((x) => x.id), [])
await post('eve', `/chat/rooms/${room.id}/typing`, { typing: true }, 403)
await post('ann', `/chat/rooms/${room.id}/messages`, { content: 'hello', type: 'video' }, 400)
// Connections, and what a user says in one of them.
await until('the connection is listed', async () => (await post('bob', '/connections', null, 200)).length === 1)
await post('bob', '/message', { content: 'hi' }, 202)
await same('what was said', () => user.getState().map((x) => [x.id, x.content]), [['last', 'hi']])
// Devices, of which one is gone.
const pushed = []
const device = http.createServer((request, response) => {
  let body = ''
  request.on('data', (chunk) => { body += chunk })
  request.on('end', () => { if (request.url === '/here') pushed.push(JSON.parse(body)); response.writeHead(request.url === '/here' ? 200 : 410).end() })
})
await new Promise((done) => device.listen(0, '127.0.0.1', done))
for (const path of ['/here', '/gone']) await post('bob', '/devices', { url: `http://127.0.0.1:${device.address().port}${path}` }, 201)
await post('ann', `/chat/rooms/${room.id}/messages`, { content: 'again' }, 201)
const delivery = () => user.getState().filter((x) => x.id === 'delivery').map((x) => [x.delivered, x.failed])
await same('the delivery', delivery, [[1, 1]])
await same('what the device got', () => pushed.map((x) => [x.body, x.priority]), [['again', 'normal']])
await post('ann', `/chat/rooms/${room.id}/messages`, { content: 'once more' }, 201)
await same('the delivery to those that are left', delivery, [[1, 0]])
device.close()
// A document.
const op = await post('ann', '/documents/doc1/collaborate', { type: 'operation', operation: { insert: 'a', at: 0 } }, 200)
await same('the operations', () => operations.getState().map((x) => [x.id, x.insert, x.userId]), [[op.id, 'a', 'ann']])
await post('ann', '/documents/doc1/collaborate', { type: 'cursor', position: 1 }, 200)
await post('ann', '/documents/doc1/collaborate', { type: 'cursor', position: 2 }, 200)
await same('the cursors', () => cursors.getState().map((x) => [x.id, x.position]), [['ann', 2]])
// Presence.
await post('ann', `/presence/${room.id}`, { event: 'join' }, 202)
await same('who is there', () => presence.getState().map((x) => [x.id, x.status, x.lastSeen > 0]), [['ann', 'online', false]])
await post('ann', `/presence/${room.id}`, { event: 'heartbeat' }, 202)
await same('who is there', () => presence.getState().map((x) => [x.id, x.lastSeen > 0]), [['ann', true]])
await post('ann', `/presence/${room.id}`, { event: 'leave' }, 202)
await same('who is there', () => presence.getState(), [])
await post('ann', `/presence/${room.id}`, { event: 'heartbeat' }, 202) // of somebody who was away for too long
await same('who is there', () => presence.getState().map((x) => [x.id, x.status]), [['ann', 'online']])
// A feed, and analytics.
await post('ann', '/feed', { data: 'news', followers: ['bob', 'cy'] }, 201)
await same('the feed', () => feed.getState().map((x) => [x.by, x.data]), [['ann', 'news']])
await post('ann', '/track', { topic: 'user.action', value: 120 }, 202)
await same('the metrics', () => metrics.getState().map((x) => [x.id, x.counter]), [['user.action', 120]])
await same('the alerts', () => alerts.getState().map((x) => x.level), ['warning'])
// What else an adapter of streams is asked: reading, events, queries. Motia's own send is not in its place.
const streams = locked.getStreams()
const events = []
feed.onEvent('ping', (data) => events.push(data))
await streams.feed().send({ groupId: 'bob' }, { type: 'ping', data: 7 })
await same('the events', () => events, [7])
await same('an item', async () => (await streams.messages().get(room.id, message.id)).message.content, 'hello')
await same('no item', () => streams.messages().get(room.id, 'none'), null)
await same('a query', async () => (await streams.messages().query(room.id, { where: { type: 'new_message' }, orderBy: 'id', limit: 1 })).length, 1)
await streams.messages().clear(room.id)
await same('the messages', () => messages.getState(), [])

await stop()
console.log('ok')
process.exit(0)
