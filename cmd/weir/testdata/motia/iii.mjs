// The streams of an app on iii: its SDK takes part in a stand-in for the engine, which speaks the engine's messages and asks the worker
// for what the app's functions ask of streams. A page follows with Motia's client.
import { registerWorker } from 'iii-sdk'
import { createStream } from 'iii-sdk/helpers'
import { Stream } from '@motiadev/stream-client-node'
import { WebSocketServer } from 'ws'
import { url, token, start, stop, until, same } from './relay.mjs'
import { weirStream } from '../../../../docs/examples/motia/weir-iii.mjs'

// The engine, as far as streams go: workers register functions, and are invoked.
class Engine {
  functions = new Map()
  pending = new Map()
  constructor() { this.server = new WebSocketServer({ port: 0, host: '127.0.0.1' }).on('connection', (worker) => worker.on('message', (m) => this.hear(worker, JSON.parse(m)))) }
  get address() { return 'ws://127.0.0.1:' + this.server.address().port }
  hear(worker, m) {
    if (m.type === 'registerfunction') this.functions.set(m.id, worker)
    if (m.type === 'invocationresult') this.pending.get(m.invocation_id)?.(m)
    if (m.type === 'invokefunction') {
      const answer = (more) => worker.send(JSON.stringify({ type: 'invocationresult', invocation_id: m.invocation_id, function_id: m.function_id, ...more }))
      this.invoke(m.function_id, m.data).then((result) => answer({ result }), (error) => answer({ error: { code: 'failed', message: error.message } }))
    }
  }
  async invoke(id, data) {
    const invocation_id = crypto.randomUUID()
    const answer = new Promise((done) => this.pending.set(invocation_id, done))
    this.functions.get(id).send(JSON.stringify({ type: 'invokefunction', invocation_id, function_id: id, data }))
    const { result, error } = await answer
    if (error) throw new Error(error.message)
    return result
  }
}

await start()
const engine = new Engine()
await new Promise((done) => engine.server.once('listening', done))
const iii = registerWorker(engine.address, { otel: { enabled: false }, enableMetricsReporting: false })
const chat = weirStream('chat', { url, key: 'dev' })
createStream(iii, 'chat', chat)
for (const name of ['update', 'send']) iii.registerFunction(`stream::${name}(chat)`, chat[name])
await until('the worker has registered', () => ['get', 'set', 'delete', 'list', 'list_groups', 'update', 'send'].every((x) => engine.functions.has(`stream::${x}(chat)`)))
const call = (name, group_id, item_id, data) => engine.invoke(`stream::${name}(chat)`, { stream_name: 'chat', group_id, item_id, data })

const page = new Stream(url.replace('http', 'ws') + '/motia', { protocols: ['Authorization', token] })
const group = page.subscribeGroup('chat', 'room 1')
const events = []
group.onEvent('typing', (data) => events.push(data))
await new Promise((done) => group.addChangeListener(done))
await same('the first set', () => call('set', 'room 1', 'a/1', { n: 1 }), { new_value: { n: 1, id: 'a/1' } })
await same('the group', () => group.getState(), [{ n: 1, id: 'a/1' }])
const second = await call('set', 'room 1', 'a/1', { n: 2 })
if (second.old_value.n !== 1 || second.new_value.n !== 2) throw new Error(JSON.stringify(second))
await same('the group', () => group.getState(), [{ n: 2, id: 'a/1' }])
await same('an item', () => call('get', 'room 1', 'a/1'), { n: 2, id: 'a/1' })
await same('no item', () => call('get', 'room 1', 'none'), null)
await same('the list', () => call('list', 'room 1'), [{ n: 2, id: 'a/1' }])
await call('set', 'ä~', 'x', {})
await same('the groups', async () => (await call('list_groups')).toSorted(), ['room 1', 'ä~'])
// Functions of the app trigger what the engine keeps to itself.
const trigger = (name, payload) => iii.trigger({ function_id: `stream::${name}(chat)`, payload: { stream_name: 'chat', group_id: 'room 1', ...payload } })
await trigger('send', { type: 'typing', data: 'ann' })
await same('the events', () => events, ['ann'])
const seen = []
page.subscribeItem('chat', 'room 1', 'a/1').onEvent('seen', (data) => seen.push(data))
await until('an event of the item has come', async () => {
  await trigger('send', { id: 'a/1', type: 'seen', data: 7 })
  return seen[0] === 7
})
const update = (ops, item_id = 'a/1') => trigger('update', { item_id, ops })
const holds = (what, have, want) => { if (JSON.stringify(have) !== JSON.stringify(want)) throw new Error(`${what} is ${JSON.stringify(have)}, not ${JSON.stringify(want)}`) }
holds('an update', await update([{ type: 'increment', path: 'n', by: 5 }, { type: 'decrement', path: 'n', by: 1 }, { type: 'set', path: 'text', value: 'a' }, { type: 'append', path: 'text', value: 'b' },
  { type: 'append', path: 'list', value: 1 }, { type: 'append', path: 'list', value: 2 }, { type: 'append', path: ['deep', 'er'], value: 'x' }, { type: 'merge', path: ['deep', 'other'], value: { y: 1 } },
  { type: 'merge', value: { top: true } }, { type: 'remove', path: 'top' }]),
  { old_value: { n: 2, id: 'a/1' }, new_value: { n: 6, id: 'a/1', text: 'ab', list: [1, 2], deep: { er: ['x'], other: { y: 1 } } } })
await same('the group', () => group.getState().map((x) => [x.n, x.text]), [[6, 'ab']])
holds('what is refused', (await update([{ type: 'append', path: 'n', value: 1 }, { type: 'merge', path: '__proto__', value: {} }, { type: 'merge', path: 'm', value: 7 }, { type: 'set', path: 'n', value: 0 }])).errors.map((x) => [x.op_index, x.code]),
  [[0, 'append.type_mismatch'], [1, 'merge.path.proto_polluted'], [2, 'merge.value.not_an_object']])
await Promise.all(Array.from({ length: 20 }, () => update([{ type: 'increment', path: 'n', by: 1 }])))
await same('a counter of twenty', async () => (await call('get', 'room 1', 'a/1')).n, 20)
holds('an update of nothing', await update([{ type: 'append', path: 'words', value: 'one' }], 'new'), { new_value: { words: 'one', id: 'new' } })
await call('delete', 'room 1', 'new')
await call('set', 'room 1', 'a/1', { n: 2 })
await same('what is deleted', () => call('delete', 'room 1', 'a/1'), { old_value: { n: 2, id: 'a/1' } })
await same('the group', () => group.getState(), [])
await iii.shutdown()
await stop()
console.log('ok')
process.exit(0)
