import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mock, test } from 'node:test'
import { load } from './load.mjs'

// Time passes as these tests say, also for the modules, which keep the functions that they find.
mock.timers.enable({ apis: ['setTimeout', 'Date'] })
const tick = (ms) => mock.timers.tick(ms)

const { queue } = await load('queue')
const { tokens } = await load('tokens')
const { followed } = await load('channel')

/** A relay with token buckets as its own, on a clock of the test. */
function clocked({ rate = 50, commands = 100, limits = {} } = {}) {
  const r = { log: [], refused: 0, over: false, answer: undefined }
  const bucket = (n) => {
    let used = 0
    let at = 0
    return () => {
      used = Math.max(0, used - ((Date.now() - at) * n) / 1e3)
      at = Date.now()
      return used + 1 <= 2 * n && !!++used
    }
  }
  const [all, ns] = [bucket(commands), bucket(rate)]
  let count = 0
  r.sent = []
  r.queue = queue((text) => {
    const m = JSON.parse(text)
    r.sent.push(m)
    if (!all()) r.over = true
    // The answer comes after a while.
    setTimeout(() => {
      const custom = r.answer?.(m)
      if (custom === null) return
      if (custom) return r.queue.hear({ id: m.id, ...custom })
      if (m.type === 'publish' && !ns()) {
        r.refused++
        return r.queue.hear({ type: 'error', id: m.id, code: 'rate_limited', message: 'too many', retryable: true })
      }
      r.log.push(m)
      r.queue.hear({ type: 'ok', id: m.id, position: { epoch: 'e', seq: r.log.length } })
    }, 20)
  }, () => 'id' + ++count)
  r.open = (serial = false) => r.queue.open({ message: 65536, commands, subscriptions: 128, address: 4096, ...limits }, serial, [])
  /** Lets time pass. */
  r.pass = async (ms) => {
    for (let i = 0; i < ms; i += 5) {
      tick(5)
      await null
    }
  }
  return r
}
const codes = (list) => Promise.all(list.map((p) => p.then(() => 'ok', (e) => e.code)))
const publish = (channel, data, more) => ({ type: 'publish', channel, data, ...more })

for (const [known, serial] of [[true, false], [false, false], [true, true], [false, true]])
  test(`nine hundred publications are all done in order, rate ${known ? '' : 'not '}known, ${serial ? 'POST' : 'WebSocket'}`, async () => {
    const r = clocked()
    if (known) r.queue.pace('t:x', 50)
    const done = codes(Array.from({ length: 900 }, (_, i) => r.queue.ask(publish('t:x', i))))
    r.open(serial)
    await r.pass(60000)
    assert.deepEqual(new Set(await done), new Set(['ok']))
    assert.deepEqual(r.log.map((m) => m.data), Array.from({ length: 900 }, (_, i) => i))
    assert.equal(r.over, false)
    if (known && !serial) assert.equal(r.refused, 0)
  })

test('what is refused for now does not hold up other channels, and is given up after a minute', async () => {
  const r = clocked()
  r.queue.pace('t:a', 50)
  r.answer = (m) => m.channel === 't:a' && { type: 'error', code: 'unavailable', message: 'no backend', retryable: true }
  r.open()
  const [a, b] = [codes([1, 2].map((i) => r.queue.ask(publish('t:a', i)))), codes([1, 2].map((i) => r.queue.ask(publish('t:b', i))))]
  await r.pass(1000)
  assert.deepEqual(await b, ['ok', 'ok'])
  r.answer = undefined
  await r.pass(10000)
  assert.deepEqual(await a, ['ok', 'ok'])
  assert.deepEqual(r.log.map((m) => m.channel + m.data), ['t:b1', 't:b2', 't:a1', 't:a2'])
  r.answer = (m) => ({ type: 'error', code: 'internal', message: 'x', retryable: true })
  const never = codes([r.queue.ask(publish('t:a', 3))])
  await r.pass(90000)
  assert.deepEqual(await never, ['internal'])
})

test('what may have arrived is sent again as long as the relay knows its key, and not after that', async () => {
  const r = clocked()
  r.queue.pace('t:a', 50)
  r.open()
  r.answer = () => null // no answer
  const list = codes([r.queue.ask(publish('t:a', 1, { idempotencyKey: undefined })), r.queue.ask({ type: 'event', topic: 'x', data: 1 })])
  r.queue.shut(false)
  await r.pass(100)
  r.queue.open({ message: 65536, commands: 100, subscriptions: 1, address: 1 }, false, [])
  assert.equal(r.sent.filter((m) => m.type === 'publish').length, 2)
  assert.equal(new Set(r.sent.filter((m) => m.type === 'publish').map((m) => m.idempotencyKey)).size, 1)
  assert.ok(r.sent[0].idempotencyKey)
  r.queue.shut(false)
  await r.pass(280000)
  r.open()
  assert.deepEqual(await list, ['connection_lost', 'connection_lost'])
  assert.equal(r.sent.filter((m) => m.type === 'publish').length, 2)
})

test('an event whose way is not known says that it may be tried again, whatever the connection is', async () => {
  const r = clocked()
  r.answer = () => ({ type: 'error', code: 'connection_lost', message: 'POST /command: status 502', retryable: true })
  r.open(true)
  const event = r.queue.ask({ type: 'event', topic: 'a.b', data: 1 }).then(() => 'ok', (e) => [e.code, e.retryable])
  await r.pass(100)
  assert.deepEqual(await event, ['connection_lost', true])
})

test('a queue has an end, and what is too large or no JSON is refused at once, with and without a connection', async () => {
  const r = clocked()
  const many = codes(Array.from({ length: 1001 }, (_, i) => r.queue.ask(publish('t:a', i))))
  const cycle = {}
  cycle.cycle = cycle
  const bad = [cycle, 1n, undefined, () => {}, Symbol(), { toJSON() { throw new Error('no') } }, { toJSON() {} }]
  assert.deepEqual(new Set(await codes(bad.map((v) => r.queue.ask(publish('t:b', v))))), new Set(['bad_request']))
  r.queue.shut(true)
  assert.deepEqual((await many).slice(-2), ['connection_lost', 'too_many'])
})

test('the largest message is taken, and one byte more is not', async () => {
  const size = (data) => Buffer.byteLength(JSON.stringify({ type: 'publish', channel: 't:a', idempotencyKey: 'id1', id: 'id1', data }))
  for (const char of ['x', 'é', '😅', '\u2028', '\ud800', '"']) {
    let text = ''
    while (size(text + char) <= 1000) text += char
    const r = clocked({ limits: { message: 1000 } })
    r.open()
    const list = codes([r.queue.ask(publish('t:a', text)), r.queue.ask(publish('t:a', text + char + char))])
    await r.pass(200)
    assert.equal((await list)[1], 'too_large')
    assert.equal((await list)[0], 'ok', char)
  }
})

test('a token that never comes is given up after ten seconds and asked for again', async () => {
  let asked = 0
  const k = tokens(() => (++asked === 1 ? new Promise(() => {}) : ' token\n'), async () => undefined, () => {})
  const first = k.get()
  assert.equal(k.get(), first)
  await null
  tick(9999)
  await null
  assert.equal(asked, 1)
  tick(1)
  await assert.rejects(first, { code: 'token', retryable: true })
  assert.equal(await k.get(), 'token')
  const thrower = tokens(() => { throw new Error('no') }, async () => undefined, () => {})
  await assert.rejects(thrower.get(), { message: 'no' })
  await assert.rejects(thrower.get(), { message: 'no' })
})

test('positions are taken over whole, states are values, and users of a channel are counted', () => {
  let ended = 0
  const c = followed('a', { epoch: 'e1', seq: 3 }, async () => ({}), () => ended++)
  const [one, two] = [c.join_(), c.join_()]
  const heard = []
  one.on('change', (x) => {
    heard.push(x.seq)
    if (x.seq === 5) one.close() // within a batch
  })
  let others = 0
  const reported = []
  globalThis.reportError = (err) => reported.push(err.message)
  two.on('change', () => {
    others++
    if (others === 2) throw new Error('of a listener')
  })
  const before = two.position
  c.stand_({ position: { epoch: 'e2', seq: 3 }, recovered: true, changes: [] })
  assert.deepEqual([before, two.position], [{ epoch: 'e1', seq: 3 }, { epoch: 'e2', seq: 3 }])
  const set = (seq, key, data) => ({ seq, op: 'set', group: 'g', key, data })
  const empty = two.state
  for (const x of [set(4, 'k', 1), set(5, '__proto__', 2), set(6, 'k', 3)]) c.take_(x)
  assert.deepEqual([heard, others, ended], [[4, 5], 3, 0])
  assert.deepEqual([empty.size, [...two.state.get('g')]], [0, [['k', 3], ['__proto__', 2]]])
  const state = two.state
  c.take_({ seq: 7, op: 'send', data: 1 })
  assert.equal(two.state, state)
  c.take_({ seq: 8, op: 'delete', group: 'g', key: 'k' })
  assert.notEqual(two.state, state)
  assert.equal(state.get('g').get('k'), 3)
  one.close()
  assert.deepEqual([ended, reported], [0, ['of a listener']])
  two.close()
  two.close()
  assert.equal(ended, 1)
})

test('the client of the protocol page stands where the relay says and keeps hostile names to itself', async () => {
  const page = readFileSync(new URL('../../../../docs/protocol.md', import.meta.url), 'utf8')
  const code = /## A client\n[^]*?```js\n([^]*?)\nconst client = /.exec(page)[1]
  const sockets = []
  class Socket {
    constructor() {
      sockets.push(this)
      this.sent = []
    }
    send(text) {
      this.sent.push(JSON.parse(text))
    }
  }
  const { Client } = new Function('WebSocket', code + '; return { Client }')(Socket)
  const client = new Client('ws://x', async () => 't')
  await new Promise(setImmediate)
  const say = (m) => sockets.at(-1).onmessage({ data: JSON.stringify(m) })
  const names = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']
  const changes = []
  client.follow('t:doc', (c, state) => changes.push(c && [c.group, c.key, state.get(c.group)?.get(c.key)]))
  say({ type: 'connected' })
  const items = (data) => `{${names.map((n) => `"${n}":{${names.map((k) => `"${k}":${data}`)}}`)}}`
  sockets.at(-1).onmessage({ data: `{"type":"subscribed","channel":"t:doc","position":{"epoch":"e1","seq":0},"recovered":false,"state":${items(1)}}` })
  let seq = 0
  const every = (op, data) => names.flatMap((group) => names.map((key) => ({ seq: ++seq, op, group, key, data })))
  say({ type: 'batch', channel: 't:doc', messages: every('set', 'evil') })
  for (const c of every('delete')) say({ type: 'channel_update', channel: 't:doc', ...c })
  say({ type: 'subscribed', channel: 't:doc', position: { epoch: 'e2', seq: 75 }, recovered: true, changes: every('set', 'evil') })
  assert.equal(changes.length, 76)
  assert.equal(changes.filter((c) => c?.[2] === 'evil').length, 50)
  for (const n of names) assert.notEqual({}[n], 'evil')
  assert.equal({}.polluted, undefined)
  const { epoch, seq: at } = client.channels.get('t:doc')
  assert.deepEqual([epoch, at], ['e2', 75])
  assert.deepEqual(Object.keys(Object.prototype), [])
})
