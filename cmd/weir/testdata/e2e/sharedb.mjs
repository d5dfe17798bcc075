// npm sharedb, unmodified, with the type text-unicode: several editors of one document, whose connections break now and
// then, a late joiner, and an editor of ours on the same document.
import { base, api, equal } from './lib.mjs'
import { ShareEditor, call, generator, sleep, textType, warnings } from './editors.mjs'

const random = generator()

class Editor extends ShareEditor {
  edit() {
    const n = [...this.doc.data].length
    const at = random(n + 1)
    const op = at > 0 ? [at] : []
    if (n - at > 0 && random(3) === 0) op.push({ d: 1 + random(Math.min(n - at, 4)) })
    else op.push(['a', '😅', 'ümläut', '\n', 'word '][random(5)])
    this.doc.submitOp(op, (err) => { if (err) throw err })
  }
}

const id = 'd' + process.pid
const editors = Array.from({ length: 5 }, () => new Editor(id))
const [first] = editors
await call((f) => first.doc.fetch(f))
equal(first.doc.type, null, 'a document that is not there')
await call((f) => first.doc.create('begin 😅 end', textType.uri, f))
equal([first.doc.version, first.doc.data], [1, 'begin 😅 end'], 'created')
await call((f) => editors[1].doc.create('twice', textType.uri, (err) => f(null, err))).then((err) =>
  equal(err?.code, 'ERR_DOC_ALREADY_CREATED', 'created twice'))
for (const e of editors) await call((f) => e.doc.subscribe(f))
for (let round = 0; round < 120; round++) {
  for (const e of editors) {
    if (random(3) > 0) e.edit()
    if (random(40) === 0) {
      await e.leave()
      e.back()
    }
  }
  await sleep(8)
}
// One edits while it is away, and then comes back.
const away = editors[2]
await away.leave()
for (let i = 0; i < 20; i++) away.edit()
for (let i = 0; i < 20; i++) { editors[3].edit(); await sleep(2) }
away.back()
await Promise.all(editors.map((e) => call((f) => e.doc.whenNothingPending(f))))

// An operation of a backend reaches everybody.
const path = `${api}/v1/documents/notes:${id}`
const backend = { authorization: 'Bearer dev', 'content-type': 'application/json' }
await fetch(path + '/operations', { method: 'POST', headers: backend, body: JSON.stringify({ operation: ['from a backend '] }) })
const want = await (await fetch(path, { headers: backend })).json()
const end = Date.now() + 10_000
while (Date.now() < end && editors.some((e) => e.doc.version < want.version)) await sleep(10)
for (const [i, e] of editors.entries()) equal([e.doc.version, e.doc.data], [want.version, want.text], `editor ${i}`)

const late = new Editor(id)
await call((f) => late.doc.subscribe(f))
equal([late.doc.version, late.doc.data], [want.version, want.text], 'a late joiner')
const [bulk, other] = [late.connection.get('notes', id + 'b'), late.connection.get('notes', id)]
late.connection.startBulk()
const both = [call((f) => bulk.subscribe(f)), call((f) => other.fetch(f))]
late.connection.endBulk()
await Promise.all(both)
equal(bulk.type, null, 'a document that is not there, in bulk')
const old = await call((f) => late.connection.fetchSnapshot('notes', id, 1, f))
if (want.version <= 1000) equal([old.v, old.data], [1, 'begin 😅 end'], 'as it was at version 1')
await call((f) => late.doc.unsubscribe(f))
first.edit()
await call((f) => first.doc.whenNothingPending(f))
equal(late.doc.version, want.version, 'after unsubscribing')
await call((f) => late.doc.fetch(f))
equal([late.doc.version, late.doc.data], [want.version + 1, first.doc.data], 'fetched')
await call((f) => late.doc.submitOp([0 + 1, 'not subscribed'], f))
await call((f) => late.connection.ping ? (late.connection.once('pong', () => f()), late.connection.ping()) : f())
for (const e of [...editors, late]) e.connection.close()
equal(warnings, [], 'warnings of the client')
console.log('ok')
