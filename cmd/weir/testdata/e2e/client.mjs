// The client as it is served, by a WebSocket and by an event stream with POST: every address it needs is let through by
// what stands before the relay, and what it promises holds within the relay's bounds.
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import WebSocket from 'ws'
import { api, base, equal, publish, token } from './lib.mjs'

const dir = mkdtempSync(join(tmpdir(), 'weir-client-'))
for (const name of ['weir.js', 'weir-documents.js']) {
  const r = await fetch(base + '/' + name)
  equal(r.status, 200, name)
  writeFileSync(join(dir, name.replace('.js', '.mjs')), await r.text())
  equal((await fetch(base + '/' + name.replace('.js', '.d.ts'))).status, 200, 'types of ' + name)
}
const { connect } = await import(join(dir, 'weir.mjs'))
const { openDocument } = await import(join(dir, 'weir-documents.mjs'))
rmSync(dir, { recursive: true })

const until = async (what, f) => {
  for (const end = Date.now() + 15000; !(await f()); await new Promise((done) => setTimeout(done, 20))) if (Date.now() > end) throw new Error('not within 15 s: ' + what)
}
const codes = (list) => Promise.all(list.map((p) => p.then(() => 'ok', (e) => e.code)))

/** A network before the relay in which POST is answered as by a proxy that does not let it through, while that is on. */
async function proxy() {
  const p = { status: 0, posts: 0 }
  const server = createServer((req, res) => {
    if (req.method === 'POST') {
      p.posts++
      if (p.status) return res.writeHead(p.status, { 'content-type': 'text/html' }).end('<h1>no</h1>')
    }
    const to = request(new URL(req.url, base), { method: req.method, headers: { ...req.headers, host: new URL(base).host } }, (r) => {
      res.writeHead(r.statusCode, r.headers)
      r.pipe(res)
      r.on('error', () => res.destroy())
    })
    to.on('error', () => res.destroy())
    res.on('close', () => to.destroy())
    req.pipe(to)
  })
  await new Promise((up) => server.listen(0, '127.0.0.1', up))
  p.url = 'http://127.0.0.1:' + server.address().port
  p.cut = () => server.closeAllConnections()
  p.close = () => (server.closeAllConnections(), server.close())
  return p
}

for (const transport of [undefined, 'sse']) {
  const kind = transport ?? 'ws'
  const run = kind + Math.random().toString(36).slice(2, 8)
  const weir = connect(base, { WebSocket, token, transport })
  const errors = []
  const breaks = []
  weir.on('error', (e) => errors.push(e.code))
  weir.on('status', (s) => s.status === 'waiting' && breaks.push(s.reason))

  // Order, also of what is published in one moment, and oddities that cost only themselves.
  const odd = weir.channel(`e2e:odd-${run}`)
  const seen = []
  odd.on('change', (c) => c.op === 'send' && seen.push(c.data))
  await new Promise((done) => odd.on('sync', done))
  const cycle = {}
  cycle.cycle = cycle
  let deep = 1
  for (let i = 0; i < 5000; i++) deep = [deep]
  const bad = [cycle, 1n, undefined, () => 1, Symbol('x'), { toJSON() { throw new Error('no') } }, { toJSON() {} }, 'x'.repeat(70000)]
  const values = ['a\u2028b\u2029', '\ud800', { ['__proto__']: 1, constructor: 2 }, -0, NaN, null, '', [], 'é'.repeat(20000), '\r\n']
  const outcomes = codes([...bad.map((v) => odd.publish(v)), ...values.map((v) => odd.publish(v)), odd.publish(deep)])
  equal((await outcomes).slice(0, bad.length), [...Array(bad.length - 1).fill('bad_request'), 'too_large'], kind + ': what cannot be sent')
  equal((await outcomes).slice(bad.length, -1), values.map(() => 'ok'), kind + ': what can be sent')
  if ((await outcomes).at(-1) === 'ok') throw new Error('nested 5000 deep')
  await until('all odd values', () => seen.length === values.length)
  equal(seen, JSON.parse(JSON.stringify(values)), kind + ': the values')
  equal(Object.keys(seen[2]), ['__proto__', 'constructor'], kind + ': the keys')
  await odd.publish(1, { group: '__proto__', key: 'polluted' })
  await until('the item', () => odd.get('__proto__', 'polluted') === 1)
  equal([{}.polluted === undefined, [...odd.state.keys()]], [true, ['__proto__']], kind + ': prototypes')

  // Large as it may be, and one byte more.
  const frame = JSON.stringify({ type: 'publish', channel: odd.name, idempotencyKey: '', id: '', data: '' }).length
  const most = weir.limits.message - frame - 40
  equal(await codes([odd.publish('x'.repeat(most)), odd.publish('x'.repeat(weir.limits.message - frame + 1)), odd.publish('small')]), ['ok', 'too_large', 'ok'], kind + ': sizes')

  // Three hundred at once are paced, all done, in order.
  const many = weir.channel(`e2e:many-${run}`)
  const places = (await Promise.all(Array.from({ length: 300 }, (_, i) => many.publish(i)))).map((p) => p.seq)
  equal(places, [...places].sort((a, b) => a - b), kind + ': order')
  equal(new Set(places).size, 300, kind + ': each once')

  // One that is refused, one without a proper name and those that are too many say so, and nobody else is disturbed.
  const told = {}
  const wanted = Array.from({ length: weir.limits.subscriptions + 3 }, (_, i) => `e2e:${run}-${String(i).padStart(3, '0')}-${'long'.repeat(10)}`)
  for (const name of ['user:somebody-else', 'no name', '.dot', 'x'.repeat(300)]) weir.channel(name).on('error', (e) => (told[name.slice(0, 20)] = e.code))
  await until('refusals', () => Object.keys(told).length === 4)
  equal(Object.entries(told).sort().map((e) => e[1]), ['bad_channel', 'bad_channel', 'forbidden', 'bad_channel'], kind + ': refusals')
  const got = new Set()
  let synced = 0
  let over = 0
  const list = wanted.map((name) => {
    const c = weir.channel(name)
    c.on('change', (change) => change.data === 'all' && got.add(name))
    c.on('sync', () => synced++)
    c.on('error', (e) => e.code === 'too_many' && over++)
    return c
  })
  const fit = weir.limits.subscriptions - 2 // odd and many are followed as well
  await until(`${kind}: channels up to the limit`, () => synced >= fit && over === wanted.length - fit)
  await Promise.all(wanted.slice(0, fit).map((channel) => publish({ channel, data: 'all' })))
  await until(`${kind}: events of all`, () => got.size === fit)

  // Two users of one channel: the other goes on, and the place is free when both are gone.
  const [first, second] = [weir.channel(list[0].name), list[0]]
  let heard = 0
  second.on('change', () => heard++)
  first.close()
  first.close()
  await publish({ channel: second.name, data: 'still' })
  await until('the other user hears', () => heard === 1)
  second.close()
  const late = weir.channel(`e2e:late-${run}`)
  await new Promise((done) => late.on('sync', done))

  // The state is another value after each change.
  const before = late.state
  await publish({ channel: late.name, key: 'k', data: 1 })
  await until('the item', () => late.get('items', 'k') === 1)
  const after = late.state
  await publish({ channel: late.name, key: 'k', data: 2 })
  await until('the next', () => late.get('items', 'k') === 2)
  equal([before.size, after.get('items').get('k'), late.state === after, late.state === late.state], [0, 1, false, true], kind + ': values of state')

  equal([errors, breaks], [[], []], kind + ': nothing else')
  if (!transport) {
    const doc = openDocument(weir, 'e2e-client')
    await until('the document', () => doc.ready)
    doc.edit([{ from: 0, to: doc.text.length, insert: 'through' }])
    await until('it is saved', () => doc.saved)
    doc.close()
  }
  for (const path of ['/chat/rooms', '/notifications', '/devices']) equal((await fetch(base + path, { headers: { authorization: 'Bearer ' + token } })).status, 200, path)
  weir.close()
}

// A break, also of a stream with more channels than its address has room for, with positions.
{
  const p = await proxy()
  const weir = connect(p.url, { token, transport: 'sse' })
  const got = new Map()
  const names = Array.from({ length: 100 }, (_, i) => `e2e:back${Math.random()}-${i}-${'long'.repeat(12)}`)
  for (const name of names) weir.channel(name).on('change', (c) => got.set(name, [...(got.get(name) ?? []), c.data]))
  const channels = names.map((n) => weir.channel(n))
  await until('all are followed', () => channels.every((c) => c.position))
  await Promise.all(names.map((channel) => publish({ channel, data: 1 })))
  await until('all have heard', () => got.size === names.length)
  p.cut()
  await Promise.all(names.map((channel) => publish({ channel, data: 2 })))
  await until('all have heard what they missed', () => [...got.values()].every((l) => l.length === 2))
  equal([...got.values()].every((l) => l.join() === '1,2'), true, 'each once, in order')

  // A POST that is not let through: its own promise, and the stream goes on.
  let lost = 0
  weir.on('status', (s) => s.status !== 'open' && lost++)
  for (const status of [403, 404]) {
    p.status = status
    equal(await codes([channels[0].publish(1)]), [status === 403 ? 'forbidden' : 'not_found'], 'a POST that is refused')
  }
  p.status = 502 // for a moment: it is tried again
  const again = channels[0].publish('again')
  await until('a try', () => p.posts > 2)
  p.status = 0
  await again
  await publish({ channel: names[0], data: 'and so on' })
  await until('the stream lives', () => got.get(names[0]).at(-1) === 'and so on')
  equal(lost, 0, 'breaks of the stream')
  weir.close()
  p.close()
}

console.log('ok')
process.exit()
