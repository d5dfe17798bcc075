import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../dist/weir.js'
import { fakeClock, fakeRelay } from '../npm/testing.js'
import { dice, randomText } from './load.mjs'

/** A relay, a clock that stands still, and clients. */
function start(t, count = 1) {
  const clock = fakeClock(Date.UTC(2026, 0, 1))
  const relay = fakeRelay()
  const clients = Array.from({ length: count }, (_, i) => connect(relay.url, { ...relay.options, token: 'user-' + i }))
  t.after(() => {
    clients.forEach((weir) => weir.close())
    clock.restore()
  })
  return { clock, relay, clients }
}
const plain = (state) => Object.fromEntries([...state].map(([group, items]) => [group, Object.fromEntries(items)]))
const answers = { op: 'append', group: 'answers', key: 'a7' }

test('what is new of a text is told, and the state has all of it', async (t) => {
  const { clock, relay, clients: [weir] } = start(t)
  relay.publish('room:1', 'Hel', answers)
  const room = weir.channel('room:1')
  const told = []
  room.on('change', ({ op, data }) => told.push([op, data]))
  await clock.settle()
  const before = room.state
  relay.publish('room:1', 'lo', answers)
  relay.publish('room:1', ' wörld 🌊', answers)
  await clock.settle()
  assert.deepEqual(told, [['set', 'Hel'], ['append', 'lo'], ['append', ' wörld 🌊']])
  assert.equal(room.get('answers', 'a7'), 'Hello wörld 🌊')
  assert.deepEqual(plain(before), { answers: { a7: 'Hel' } }, 'what was seen stays as it was')
  relay.cut()
  relay.publish('room:1', '!', answers)
  await clock.advance(5000)
  assert.deepEqual(told.slice(3), [['append', '!']], 'who comes back gets what is new')
})

test('an append that belongs elsewhere, or to what is no text, is refused, and the right offset is said', async (t) => {
  const { clock, clients: [weir] } = start(t)
  const room = weir.channel('room:1')
  const publish = (data, more) => room.publish(data, { ...answers, ...more }).then((at) => at.seq, ({ code, offset, retryable }) => [code, offset, retryable])
  const done = [publish('a🌊', { offset: 0 }), publish('b', { offset: 3 }), publish('b', { offset: 2 }), publish({ no: 'text' }, { key: 'k', op: 'set' }), publish('x', { key: 'k' }), publish(5)]
  await clock.advance(5000)
  assert.deepEqual(await Promise.all(done), [1, ['wrong_offset', 2, false], 2, 3, ['not_text', undefined, false], ['bad_request', undefined, false]])
  assert.equal(room.get('answers', 'a7'), 'a🌊b')
})

// Clients append, and so do backends, while the network and the relay fail in every way: what clients were told makes the texts that there are.
for (let seed = 1; seed <= (+process.env.SEEDS || 8); seed++) {
  test(`texts are whole whatever happens, seed ${seed}`, async (t) => {
    const roll = dice(seed)
    const pick = (list) => list[Math.floor(roll() * list.length)]
    const { clock, relay, clients } = start(t, 3)
    const rooms = clients.map((weir) => weir.channel('room:1'))
    const told = rooms.map((room) => {
      const state = new Map()
      room.on('change', ({ op, key, data }) => {
        if (op === 'append') state.set(key, (state.get(key) ?? '') + data)
        else if (op === 'set') state.set(key, data)
        else if (op === 'delete') state.delete(key)
      })
      return state
    })
    const key = () => pick(['k', 'l', 'm'])
    const published = []
    let count = 0
    const steps = {
      backend: () => relay.publish('room:1', randomText(roll, 5), { op: 'append', key: key(), ...(roll() < 0.2 && { ttl: 2000 }) }),
      client: () => published.push(pick(rooms).publish(`<${++count}>`, { op: 'append', key: key() })),
      set: () => relay.publish('room:1', randomText(roll, 3), { key: key() }),
      delete: () => relay.publish('room:1', undefined, { op: 'delete', key: key() }),
      cut: () => relay.cut(pick([undefined, 4008, 1012])),
      offline: () => relay.offline(),
      online: () => relay.online(),
      lag: () => relay.lag(pick([0, 50, 700])),
      lose: () => relay.lose('room:1'),
    }
    const often = [...Array(8).fill('backend'), ...Array(4).fill('client'), 'set', 'set', 'delete', 'cut', 'cut', 'offline', 'online', 'online', 'online', 'lag', 'lose']
    for (let i = 0; i < 100; i++) {
      steps[pick(often)]()
      if (roll() < 0.7) await clock.advance(Math.floor(roll() * 900))
    }
    relay.online()
    relay.lag(0)
    await clock.advance(120_000)
    const want = relay.state('room:1')
    for (const [i, room] of rooms.entries()) {
      assert.deepEqual(plain(room.state), want, 'the state of client ' + i)
      assert.deepEqual(Object.fromEntries(told[i]), want.items ?? {}, 'what client ' + i + ' was told')
    }
    await Promise.all(published)
    const all = Object.values(want.items ?? {}).join('')
    for (let i = 1; i <= count; i++) assert.ok(all.split(`<${i}>`).length <= 2, `<${i}> is there twice: ${all}`)
  })
}
