// Motia's own client for Node.js, as it is: groups, items, events, and what it knows after the relay has started again.
import { Stream } from '@motiadev/stream-client-node'
import { Groups } from '../../../../docs/examples/motia/weir-streams.mjs'

import { url, token, start, stop, until, same } from './relay.mjs'

await start()
const chat = new Groups('chat', { url, key: 'dev' })
const stream = new Stream(url.replace('http', 'ws') + '/motia', { protocols: ['Authorization', token] })
const group = stream.subscribeGroup('chat', 'room:1', 'n')
const item = stream.subscribeItem('chat', 'room:1', 'a')
const alone = stream.subscribeItem('chat', 'room:2', 'x')
const events = []
group.onEvent('typing', (data) => events.push(['group', data]))
item.onEvent('typing', (data) => events.push(['item', data]))
let synced = 0
group.addChangeListener(() => synced++)
await until('the group is there', () => synced > 0)

await chat.set('room:1', 'b', { n: 2 })
await chat.set('room:1', 'a', { n: 1 })
await same('the group', () => group.getState(), [{ n: 1, id: 'a' }, { n: 2, id: 'b' }])
await same('the item', () => item.getState(), { n: 1, id: 'a' })
await chat.set('room:1', 'a', { n: 3 })
await same('the group', () => group.getState(), [{ n: 2, id: 'b' }, { n: 3, id: 'a' }])
await same('the item', () => item.getState(), { n: 3, id: 'a' })
await chat.send({ groupId: 'room:1' }, { type: 'typing', data: 'ann' })
await chat.send({ groupId: 'room:1', id: 'a' }, { type: 'typing', data: 'bob' })
await until('the events', () => events.length === 3)
await same('the events', () => events.toSorted((a, b) => (a[0] < b[0] ? -1 : 1)), [['group', 'ann'], ['group', 'bob'], ['item', 'bob']])
await chat.delete('room:1', 'b')
await same('the group', () => group.getState(), [{ n: 3, id: 'a' }])
await chat.set('room:2', 'x', { n: 4 })
await same('the item alone', () => alone.getState(), { n: 4, id: 'x' })

// The relay starts again, and the client comes back after two seconds, with all that it follows.
await stop()
await start()
await chat.set('room:1', 'a', { n: 5 })
await chat.set('room:1', 'c', { n: 6 })
await same('the group', () => group.getState(), [{ n: 5, id: 'a' }, { n: 6, id: 'c' }])
await same('the item', () => item.getState(), { n: 5, id: 'a' })
await chat.set('room:2', 'x', { n: 7 })
await same('the item alone', () => alone.getState(), { n: 7, id: 'x' })
group.close()
item.close()
await chat.set('room:1', 'a', { n: 8 })
await chat.set('room:2', 'x', { n: 9 })
await same('the item alone', () => alone.getState(), { n: 9, id: 'x' })
if (item.getState().n !== 5) throw new Error('an item that was left goes on')
console.log('ok')
process.exit(0)
