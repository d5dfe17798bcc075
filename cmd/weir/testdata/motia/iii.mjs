// The streams of an app on iii: its SDK takes part in a stand-in for the engine, which speaks the engine's messages and asks the worker
// for what the app's functions ask of streams. A page follows with Motia's client.
import { registerWorker } from 'iii-sdk'
import { createStream } from 'iii-sdk/helpers'
import { Stream } from '@motiadev/stream-client-node'
import { WebSocketServer } from 'ws'
import { url, token, start, stop, until, same } from './relay.mjs'
import { Groups, weirStream } from '../../../../docs/examples/motia/weir-streams.mjs'

// The engine, as far as streams go: workers register functions, and are invoked.
class Engine {
  functions = new Map()
  pending = new Map()
  constructor() { this.server = new WebSocketServer({ port: 0, host: '127.0.0.1' }).on('connection', (worker) => worker.on('message', (m) => this.hear(worker, JSON.parse(m)))) }
  get address() { return 'ws://127.0.0.1:' + this.server.address().port }
  hear(worker, m) {
    if (m.type === 'registerfunction') this.functions.set(m.id, worker)
    if (m.type === 'invocationresult') this.pending.get(m.invocation_id)?.(m)
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
createStream(iii, 'chat', weirStream('chat', { url, key: 'dev' }))
await until('the worker has registered', () => ['get', 'set', 'delete', 'list', 'list_groups'].every((x) => engine.functions.has(`stream::${x}(chat)`)))
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
await new Groups('chat', { url, key: 'dev' }).send({ groupId: 'room 1' }, { type: 'typing', data: 'ann' })
await same('the events', () => events, ['ann'])
await same('what is deleted', () => call('delete', 'room 1', 'a/1'), { old_value: { n: 2, id: 'a/1' } })
await same('the group', () => group.getState(), [])
await iii.shutdown()
await stop()
console.log('ok')
process.exit(0)
