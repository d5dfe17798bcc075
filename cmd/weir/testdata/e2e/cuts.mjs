// Editors of ShareDB, Yjs and CodeMirror at once on a relay with a data directory, behind a network that breaks at any
// moment, with answers on their way, while the relay is killed and started again. In the end everything that anybody
// typed is there once, everybody has the same, and ShareDB's client found nothing odd. With E2E_ROUTES the relay is several
// nodes of a cluster: each connection goes to any of them, and all in turn are killed, and stopped until they are replaced.
import { spawn } from 'node:child_process'
import { createServer, connect } from 'node:net'
import { join } from 'node:path'
import * as Y from 'yjs'
import { equal } from './lib.mjs'
import { CodeMirrorEditor, ShareEditor, YjsEditor, call, generator, sleep, textType, until, warnings } from './editors.mjs'

const { E2E_BINARY, E2E_LISTEN, E2E_ADMIN, E2E_DATA, E2E_ROUTES } = process.env
const random = generator()

// The relay.
const nodes = E2E_LISTEN.split(',').map((listen, i) => ({
  listen, admin: E2E_ADMIN.split(',')[i],
  data: E2E_ROUTES
    ? ['--node', 'n' + i, '--cluster-listen', E2E_ROUTES.split(',')[i], '--cluster-routes', E2E_ROUTES, '--cluster-data', join(E2E_DATA, 'n' + i)]
    : ['--data', E2E_DATA],
}))
const [rounds, kills, pause, patience] = E2E_ROUTES ? [Infinity, nodes.length, 30, 90_000] : [500, 3, 8, 10_000]
let log = ''
function launch(node) {
  const relay = spawn(E2E_BINARY, ['serve', '--dev', '--listen', node.listen, '--admin', node.admin, ...node.data], { stdio: ['ignore', 'ignore', 'pipe'] })
  relay.stderr.on('data', (b) => { log += b })
  relay.on('exit', (code, signal) => { if (!relay.ended) { console.log(`the relay has ended by itself: ${code} ${signal}\n${log}`); process.exit(1) } })
  node.relay = relay
}
const ready = () => until(async () => (await Promise.all(nodes.map((n) => fetch(`http://${n.admin}/readyz`).then((r) => r.ok, () => false)))).every(Boolean), 'the relay is ready', patience + 10_000)
async function start(list) {
  for (const node of list) launch(node)
  await ready()
}
async function kill({ relay }) {
  relay.ended = true
  const gone = new Promise((done) => relay.once('exit', done))
  relay.kill('SIGKILL')
  await gone
}
process.on('exit', () => { for (const { relay } of nodes) if (relay) { relay.ended = true; relay.kill('SIGKILL') } })

// The network. One that is about to break swallows what the relay answers, so that it arrives there and nobody hears.
const links = new Set()
const network = createServer((a) => {
  const up = nodes.filter((n) => !n.relay.ended), to = up[random(up.length)] ?? nodes[0]
  const link = { b: connect(Number(to.listen.split(':')[1]), '127.0.0.1'), silent: false, end() { a.destroy(); this.b.destroy(); links.delete(this) } }
  links.add(link)
  for (const x of [a, link.b]) { x.on('error', () => {}); x.on('close', () => link.end()); x.setNoDelay() }
  a.on('data', (data) => link.b.write(data))
  link.b.on('data', (data) => { if (!link.silent) a.write(data) })
})
await new Promise((done) => network.listen(0, '127.0.0.1', done))
const from = `http://127.0.0.1:${network.address().port}`
let cuts = 0
function cut() {
  const list = [...links]
  const link = list[random(list.length)]
  if (!link || link.silent) return
  cuts++
  link.silent = true
  setTimeout(() => link.end(), random(60))
}

// What everybody types is told apart: each insert is a character of its own, and only fillers are deleted.
let typed = 0
const mark = () => String.fromCodePoint(0x4e00 + typed++)
const marks = (text) => (text.match(/[\u4e00-\u9fff]/g) ?? []).sort().join('')
const once = (text, editors, whose) => equal(marks(text), marks(editors.map((e) => e.marks).join('')), `what ${whose} editors typed`)
const filler = (text, at) => text[at] === '.'

class Share extends ShareEditor {
  marks = ''
  edit() {
    const chars = [...this.doc.data], at = random(chars.length + 1)
    const op = at > 0 ? [at] : []
    const deletes = filler(chars, at) && random(3) === 0
    const m = deletes ? '' : mark()
    this.marks += m
    this.doc.submitOp([...op, deletes ? { d: 1 } : m + ['', '.', '😅.'][random(3)]], (err) => { if (err) throw err })
  }
}
class CodeMirror extends CodeMirrorEditor {
  marks = ''
  change() {
    const at = random(this.state.doc.length + 1)
    if (filler(this.text, at) && random(3) === 0) return this.edit(at, at + 1, '')
    const m = mark()
    this.marks += m
    this.edit(at, at, m + ['', '.', '..'][random(3)])
  }
}
class Yjs extends YjsEditor {
  marks = ''
  edit() {
    const t = this.doc.getText('t'), at = random(t.length + 1)
    if (filler(t.toString(), at) && random(3) === 0) return t.delete(at, 1)
    const m = mark()
    this.marks += m
    t.insert(at, m + ['', '.', '..'][random(3)])
  }
  get text() { return this.doc.getText('t').toString() }
}

await start(nodes)
const id = 'cuts'
const shares = Array.from({ length: 5 }, () => new Share(id, { from, back: true }))
await call((f) => shares[0].doc.fetch(f))
await call((f) => shares[0].doc.create('begin', textType.uri, f))
await Promise.all(shares.map((e) => call((f) => e.doc.subscribe(f))))
const yjs = ['ann', 'ben', 'cat'].map((name) => new Yjs(id + 'y', name, { from }))
const mirrors = ['a', 'b', 'c'].map((x) => new CodeMirror(id + 'c', x, { from, back: true }))
await until(() => yjs.every((e) => e.provider.synced) && mirrors.every((e) => e.ready), 'all are there', patience)

// Faults of nodes, while all go on editing: each time until what was typed in every document is acknowledged again.
let over = !E2E_ROUTES
const acknowledged = () => [shares.map((e) => e.doc.version), mirrors.map((e) => e.version), yjs.map((e) => e.others ?? 0)].map((list) => Math.min(...list))
async function goesOn(what) {
  const before = acknowledged()
  await until(() => acknowledged().every((n, i) => n > before[i] + 2), `editing goes on: ${what}`, patience).catch((err) => {
    const now = [
      shares.map((e) => `${e.doc.version} ${e.connection.state} ${e.doc.inflightOp ? 'waits' : ''} ${e.doc.subscribed} ${e.doc.wantSubscribe}`), mirrors.map((e) => `${e.version} ${e.ws.readyState} ${e.pushing} ${e.pushed}`),
      yjs.map((e) => `${e.others} ${e.provider.wsconnected} ${e.provider.synced}`),
    ]
    throw new Error(`${err.message}: from ${JSON.stringify(before)} ${JSON.stringify(now, null, 1)}\n${log.slice(-6000)}`)
  })
}
async function faults() {
  for (const [i, node] of nodes.entries()) {
    await kill(node)
    await goesOn(`node ${i} was killed`)
    await start([node])
    const other = nodes[(i + 1) % nodes.length]
    other.relay.kill('SIGSTOP')
    await sleep(3000 + random(3000))
    other.relay.kill('SIGCONT')
    await ready()
    await goesOn(`node ${(i + 1) % nodes.length} was stopped`)
  }
  over = true
}
for (const e of yjs) e.doc.on('update', (_, origin) => { if (origin === e.provider) e.others = (e.others ?? 0) + 1 })
const broken = over ? Promise.resolve() : faults()
let failed
broken.catch((err) => { failed = err })
for (let round = 1; E2E_ROUTES ? !over : round <= rounds; round++) {
  if (failed) throw failed
  for (const e of shares) if (random(3) === 0) e.edit()
  for (const e of yjs) if (random(4) === 0) e.edit()
  for (const e of mirrors) if (random(6) === 0) e.change()
  if (random(6) === 0) cut()
  if (round % Math.ceil(rounds / (kills + 1)) === 0) {
    await kill(nodes[0])
    await sleep(random(50))
    await start(nodes)
  }
  await sleep(pause)
}

const kept = async (name, node) => (await fetch(`http://${node.listen}/v1/documents/${name}`, { headers: { authorization: 'Bearer dev' } })).json()
await Promise.all(shares.map((e) => call((f) => e.doc.whenNothingPending(f))))
const text = await kept('notes:' + id, nodes[0])
await until(() => shares.every((e) => e.doc.version === text.version), "ShareDB's editors have everything", patience)
for (const [i, e] of shares.entries()) equal(e.doc.data, text.text, `ShareDB's editor ${i}`)
once(text.text, shares, "ShareDB's")
equal(warnings, [], "warnings of ShareDB's client")

await until(() => mirrors.every((e) => e.idle && e.version === mirrors[0].version), "CodeMirror's editors have everything", patience)
for (const e of mirrors) equal([e.text, e.lost ?? false], [mirrors[0].text, false], `CodeMirror's editor ${e.clientID}`)
once(mirrors[0].text, mirrors, "CodeMirror's")

await until(() => yjs.every((e) => e.provider.synced && e.text === yjs[0].text), "Yjs's editors have everything", patience)
once(yjs[0].text, yjs, "Yjs's")
for (const node of nodes) {
  equal((await kept('notes:' + id, node)).text, text.text, `the text by ${node.listen}`)
  await until(async () => {
    const doc = new Y.Doc()
    Y.applyUpdate(doc, new Uint8Array(Buffer.from((await kept(id + 'y', node)).content, 'base64')))
    return doc.getText('t').toString() === yjs[0].text
  }, `${node.listen} has what Yjs's editors have`)
}
if (/panic/.test(log)) throw new Error(log)
if (process.env.E2E_VERBOSE) console.error(`${cuts} cuts, ${kills} kills, ${typed} marks, version ${text.version}`)
for (const e of [...shares, ...mirrors]) e.end()
for (const e of yjs) e.provider.destroy()
for (const node of nodes) await kill(node)
console.log('ok')
process.exit(0)
