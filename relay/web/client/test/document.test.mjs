import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dice, load, randomEdits } from './load.mjs'

const t = await load('text')
const { openText: openDocument } = await load('document')

/** A relay for one document: it orders operations and tells them, as slowly as the test wants. */
class Relay {
  text = ''
  log = []
  links = []

  join(src) {
    const link = { src, up: false, out: [], in: [], closed: false }
    this.links.push(link)
    return (path, hear, told) => {
      Object.assign(link, { path, hear, told })
      return { send: (m) => link.up && link.out.push(m), again() {}, close() { link.closed = true }, wake_() {} }
    }
  }
  open(link) {
    link.up = true
    link.out = []
    link.in = []
    link.told('open', '')
    const query = new URLSearchParams(link.path().split('?')[1])
    const from = query.get('version')
    link.in.push({ type: 'connected', connectionId: link.src, write: true })
    const rest = from === null ? { text: this.text } : { operations: this.log.slice(+from) }
    link.in.push({ type: 'document', epoch: 'e', version: this.log.length, cursors: [], ...rest })
  }
  cut(link) {
    link.up = false
    link.told('waiting', 'cut')
  }
  /** The next thing that a client has said is done. */
  take(link) {
    const m = link.out.shift()
    if (m?.type !== 'operation') return
    const since = this.log.slice(m.version)
    const done = since.find((o) => o.src === link.src && o.id === m.id)
    if (done) return link.in.push({ type: 'ok', id: m.id, version: done.version })
    let op = m.operation
    let text = this.log.slice(0, m.version).reduce((s, o) => t.patch(s, t.toUnits(o.operation, s)), '')
    let units = t.toUnits(op, text)
    for (const o of since) {
      const other = t.toUnits(o.operation, text)
      units = t.transform(units, other, true)
      text = t.patch(text, other)
    }
    op = t.toPoints(units, this.text)
    this.text = t.patch(this.text, units)
    const entry = { type: 'operation', id: m.id, src: link.src, version: this.log.length + 1, operation: op, connectionId: link.src, userId: 'u' }
    this.log.push(entry)
    for (const l of this.links) if (l.up) l.in.push(l === link ? { type: 'ok', id: m.id, version: entry.version } : entry)
  }
  give(link) {
    const m = link.in.shift()
    if (m && link.up) link.hear(m)
  }
}

test('everybody ends with the same text, whatever is late, lost and sent again', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const roll = dice(seed)
    const relay = new Relay()
    const docs = ['a', 'b', 'c'].map((src) => openDocument('d', src, relay.join(src)))
    // What a program sees by changes alone is the text, too.
    const seen = docs.map((d) => {
      const s = { text: '' }
      d.on('change', (c) => {
        assert.equal(c.before, s.text)
        s.text = t.patch(s.text, t.operation(c.edits))
        assert.equal(s.text, d.text)
      })
      return s
    })
    relay.links.forEach((l) => relay.open(l))
    for (let i = 0; i < 250; i++) {
      const n = Math.floor(roll() * 3)
      const [link, doc, what] = [relay.links[n], docs[n], roll()]
      if (what < 0.25 && doc.ready && doc.text.length < 60) doc.edit(randomEdits(roll, doc.text))
      else if (what < 0.3 && doc.ready) doc.edit([{ from: 0, to: Math.min(doc.text.length, [...doc.text][0]?.length ?? 0), insert: '' }])
      else if (what < 0.6) relay.take(link)
      else if (what < 0.95) relay.give(link)
      else if (link.up && roll() < 0.5) relay.cut(link)
      else if (!link.up) relay.open(link)
    }
    for (const l of relay.links) if (!l.up) relay.open(l)
    for (let i = 0; i < 200; i++) for (const l of relay.links) relay.take(l), relay.give(l)
    docs.forEach((d, i) => {
      assert.equal(d.text, relay.text, `seed ${seed}`)
      assert.equal(seen[i].text, relay.text)
      assert.ok(d.saved)
      d.close()
    })
  }
})

test('cursors of others move with the text, and stand behind what their owner types', () => {
  const relay = new Relay()
  const doc = openDocument('d', 'a', relay.join('a'))
  relay.text = 'x😅yz'
  relay.open(relay.links[0])
  relay.give(relay.links[0])
  relay.give(relay.links[0])
  relay.links[0].hear({ type: 'cursor', connectionId: 'b', userId: 'bob', name: 'Bob', color: '#123456', position: 2, selection: { start: 2, end: 3 }, version: 0 })
  assert.equal(doc.cursors.get('b').position, 3)
  doc.edit([{ from: 0, to: 0, insert: '12' }])
  assert.deepEqual(doc.cursors.get('b').selection, { start: 5, end: 6 })
  relay.links[0].hear({ type: 'operation', id: 1, src: 'b', version: 1, operation: [2, 'ab'], connectionId: 'b' })
  assert.equal(doc.text, '12x😅abyz')
  assert.equal(doc.cursors.get('b').position, 7)
  relay.links[0].hear({ type: 'cursor', connectionId: 'b', gone: true })
  assert.equal(doc.cursors.size, 0)
  doc.close()
})
