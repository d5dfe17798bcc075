// npm yjs over npm y-websocket, unmodified: editors at once, edits while offline, broken connections, a late joiner,
// awareness; and what the relay has merged is what yjs itself merges.
import * as Y from 'yjs'
import { api, equal } from './lib.mjs'
import { YjsEditor, generator, sleep, until } from './editors.mjs'

const random = generator()
const room = 'y' + process.pid
const all = [] // every update that was made
class Editor extends YjsEditor {
  constructor(name) {
    super(room, name)
    this.doc.on('update', (u, origin) => { if (origin !== this.provider) all.push(u) })
  }
  edit() {
    const t = this.doc.getText('t'), m = this.doc.getMap('m'), a = this.doc.getArray('a')
    const k = random(8)
    if (k < 4) t.insert(random(t.length + 1), ['a', 'ü', 'hello ', '\n'][random(4)]) // nothing that an insert could split: yjs itself does not converge then
    else if (k === 4 && t.length > 1) t.delete(random(t.length - 1), 1)
    else if (k === 5 && t.length > 2) t.format(random(t.length - 2), 2, { bold: random(2) ? true : null })
    else if (k === 6) m.set('k' + random(5), [1, 'x', { deep: [null, 1.5] }, new Uint8Array([1])][random(4)])
    else a.insert(random(a.length + 1), [random(100)])
  }
  get content() {
    const m = this.doc.getMap('m').toJSON()
    return JSON.stringify([this.doc.getText('t').toDelta(), Object.entries(m).sort(), this.doc.getArray('a').toJSON()])
  }
}

const editors = ['ann', 'ben', 'cat', 'dan'].map((n) => new Editor(n))
await Promise.all(editors.map((e) => until(() => e.provider.synced, `${e.name} synced`)))
for (const e of editors) await until(() => e.states().join() === 'ann,ben,cat,dan', `${e.name} sees all`)
for (let round = 0; round < 100; round++) {
  for (const e of editors) {
    if (random(4) > 0) e.edit()
    if (random(60) === 0) e.provider.ws?.terminate() // it comes back by itself
  }
  await sleep(8)
}
// A client that has come back ignores what it knew of others before, until they speak again: every 15 s, or like this.
await Promise.all(editors.map((e) => until(() => e.provider.synced, `${e.name} synced`)))
for (const e of editors) e.provider.awareness.setLocalStateField('round', 1)
for (const e of editors) await until(() => e.states().join() === 'ann,ben,cat,dan', `${e.name} sees all again`)
// Offline edits.
editors[1].provider.disconnect()
await until(() => editors[0].states().join() === 'ann,cat,dan', 'ben is gone')
for (let i = 0; i < 50; i++) { editors[1].edit(); editors[2].edit() }
editors[1].provider.connect()
await until(() => editors[1].provider.synced && editors.every((e) => e.content === editors[0].content), 'all are equal')
const late = new Editor('eve')
for (const e of editors) e.provider.awareness.setLocalStateField('round', 2)
await until(() => late.provider.synced && late.content === editors[0].content, 'the late joiner is equal')
await until(() => late.states().join() === 'ann,ben,cat,dan,eve' && editors.every((e) => e.states().length === 5), 'everybody sees everybody')
editors[3].provider.ws.terminate()
await until(() => editors[0].states().join() === 'ann,ben,cat,dan,eve', 'dan is back')

// The relay's own merge against that of yjs.
const kept = async () => (await (await fetch(`${api}/v1/documents/${room}`, { headers: { authorization: 'Bearer dev' } })).json())
const state64 = (d) => Buffer.from(Y.encodeStateAsUpdate(d)).toString('base64')
const load = (u) => { const d = new Y.Doc(); Y.applyUpdate(d, u); return d }
let now, mine
for (let left = 50; ; left--) { // the last updates may be on their way
  now = await kept()
  mine = load(new Uint8Array(Buffer.from(now.content, 'base64')))
  if (left === 0 || state64(mine) === state64(load(Y.mergeUpdates(all)))) break
  await sleep(50)
}
equal(now.kind, 'yjs', 'kind')
equal(state64(mine), state64(load(Y.mergeUpdates(all))), 'what the relay has merged')
equal(mine.store.pendingStructs, null, 'gaps')

// Coming back brings nothing new, and nothing is stored again; but for what clients have deleted of their own accord
// while they applied what others did, which they tell when they come back.
const comeBack = async () => {
  for (const e of editors) { e.provider.disconnect(); e.provider.connect() }
  await Promise.all(editors.map((e) => until(() => e.provider.synced, `${e.name} synced again`)))
  await sleep(200)
  return (await kept()).version
}
const version = await comeBack()
equal(await comeBack(), version, 'version after reconnecting')
for (const e of [...editors, late]) e.provider.destroy()
console.log('ok')
process.exit(0)
