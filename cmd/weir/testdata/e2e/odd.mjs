// What is hard to keep whole, over all four protocols at once: halves of surrogate pairs, brought and taken away, ends of
// lines of all kinds, combining marks, marks of direction. Whoever calls their document saved has what all others have.
import * as Y from 'yjs'
import { connect } from '../../../../relay/web/client/dist/weir.js'
import { openDocument } from '../../../../relay/web/client/dist/weir-documents.js'
import WebSocket from 'ws'
import { base, token, equal } from './lib.mjs'
import { CodeMirrorEditor, ShareEditor, YjsEditor, call, generator, sleep, textType, until } from './editors.mjs'

globalThis.WebSocket ??= WebSocket
const random = generator()
const odd = ['a', '😀', '\ud83d', '\ude00', '\ude00\ud83d', 'e\u0301', '\u0301', '\r\n', '\r', '\n', '\u202e', '\u2067', '\u2028', '👩‍👩‍👦']
const some = () => Array.from({ length: 1 + random(3) }, () => odd[random(odd.length)]).join('')
const span = (n) => [random(n + 1), random(n + 1)].sort((a, b) => a - b)
const id = 'odd' + process.pid

const weir = connect(base, { token })
const native = [0, 1, 2].map(() => openDocument(weir, id))
const shares = [0, 1, 2].map(() => new ShareEditor(id))
await call((f) => shares[0].doc.fetch(f))
await call((f) => shares[0].doc.create('begin', textType.uri, f))
await Promise.all(shares.map((e) => call((f) => e.doc.subscribe(f))))
const yjs = ['ann', 'ben', 'cat'].map((name) => new YjsEditor(id + 'y', name))
for (const { doc } of yjs) { // as docs/documents.md has it
  const ytext = doc.getText('t')
  ytext.observe((_, transaction) => {
    for (const { index } of transaction.local ? ytext.toString().matchAll(/\p{Surrogate}/gu) : []) {
      ytext.delete(index, 1)
      ytext.insert(index, '\ufffd')
    }
  })
}
const mirrors = ['a', 'b', 'c'].map((x) => new CodeMirrorEditor(id + 'c', x))
await until(() => native.every((d) => d.ready) && yjs.every((e) => e.provider.synced) && mirrors.every((e) => e.ready), 'all are there')

let refused = 0
for (let round = 0; round < 150; round++) {
  for (const d of native) {
    if (random(4) > 0) continue
    const [from, to] = span(d.text.length)
    d.edit([{ from, to: random(2) ? from : Math.min(to, from + 3), insert: some() }])
  }
  for (const { doc } of shares) {
    if (random(4) > 0 || !doc.type) continue // without one: it takes back what was refused by fetching everything anew
    const n = [...doc.data].length, at = random(n + 1)
    const op = at > 0 ? [at] : []
    op.push(random(3) === 0 && n > at ? { d: 1 } : some())
    doc.submitOp(op, (err) => { if (err) refused++ })
  }
  for (const { doc } of yjs) {
    if (random(4) > 0) continue
    const t = doc.getText('t'), at = random(t.length + 1)
    if (random(3) === 0 && t.length > at) t.delete(at, 1)
    else t.insert(at, some())
  }
  for (const e of mirrors) {
    if (random(6) > 0) continue
    const [from, to] = span(e.state.doc.length)
    e.edit(from, random(2) ? from : Math.min(to, from + 3), some())
  }
  await sleep(5)
}

const kept = async (name) => (await fetch(`${base}/v1/documents/${name}`, { headers: { authorization: 'Bearer dev' } })).json()
const alike = async (name, texts, what) => {
  const { text } = await kept(name)
  for (const got of texts) equal(got, text, what)
  equal(/\p{Surrogate}/u.test(text), false, what + ': a half is kept')
}
await until(() => native.every((d) => d.saved && d.text === native[0].text), 'the editors of the native protocol have the same')
await alike(id, native.map((d) => d.text), 'native')
await Promise.all(shares.map((e) => call((f) => e.doc.whenNothingPending(f))))
await until(() => shares.every((e) => e.doc.version === shares[0].doc.version), "ShareDB's editors have the same version")
await alike('notes:' + id, shares.map((e) => e.doc.data), 'ShareDB')
equal(refused > 0, true, 'halves are refused')
await until(() => mirrors.every((e) => e.idle && e.version === mirrors[0].version), "CodeMirror's editors have everything")
for (const e of mirrors) equal(e.text, mirrors[0].text, 'CodeMirror')
const texts = () => yjs.map((e) => e.doc.getText('t').toString())
await until(() => new Set(texts()).size === 1, "Yjs's editors have the same").catch((err) => { throw new Error(err.message + JSON.stringify(texts())) })
const late = new Y.Doc()
Y.applyUpdate(late, new Uint8Array(Buffer.from((await kept(id + 'y')).content, 'base64')))
equal(late.getText('t').toString(), texts()[0], 'Yjs: what the relay has')
console.log('ok')
process.exit(0)
