// npm @codemirror/collab, unmodified, on a small connection of ours: editors push what they have, and rebase when
// somebody else was faster.
import { equal } from './lib.mjs'
import { CodeMirrorEditor, generator, sleep, until } from './editors.mjs'

const random = generator()
const id = 'cm' + process.pid
class Editor extends CodeMirrorEditor {
  constructor(clientID) { super(id, clientID) }
  change() {
    const n = this.state.doc.length
    const from = random(n + 1)
    const to = random(3) === 0 ? Math.min(n, from + random(4)) : from
    this.edit(from, to, ['a', 'bc ', '\n', 'ü'][random(4)])
  }
}

const editors = ['a', 'b', 'c', 'd'].map((x) => new Editor(x))
await until(() => editors.every((e) => e.ready), 'all are there')
for (let round = 0; round < 90; round++) {
  for (const e of editors) {
    if (random(3) > 0) e.change()
    if (random(50) === 0) { e.ws.terminate(); e.connect() }
  }
  await sleep(6)
}
const settled = () => editors.every((e) => e.idle && e.version === editors[0].version)
await until(settled, 'everything is confirmed')
const want = editors[0].text
for (const e of editors) equal(e.text, want, `editor ${e.clientID}`)

// A snapshot, and a late joiner who starts from it.
const version = editors[0].version
editors[0].ws.send(JSON.stringify({ type: 'snapshot', version, doc: want }))
editors[1].change()
await until(settled, 'the edit behind the snapshot is confirmed')
const late = new Editor('late')
await until(() => late.ready, 'the late joiner is there')
equal([late.version, late.text], [version + 1, editors[1].text], 'the late joiner')
for (const e of [...editors, late]) e.ws.close()
console.log('ok')
process.exit(0)
