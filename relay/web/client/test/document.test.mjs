import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dice, load, randomEdits } from './load.mjs'
import { Relay, t } from './relay.mjs'

const { openText: openDocument } = await load('document')

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

test('a relay that has lost the document is told of with what it had, and what was not saved stays', () => {
  const relay = new Relay()
  const link = relay.join('a')
  const doc = openDocument('d', 'a', link)
  const lost = []
  doc.on('lost', (e) => lost.push(e.text))
  const [l] = relay.links
  const all = () => { for (let i = 0; i < 5; i++) relay.take(l), relay.give(l) }
  relay.open(l)
  all()
  doc.edit([{ from: 0, to: 0, insert: 'hello' }])
  all()
  relay.cut(l)
  doc.edit([{ from: 5, to: 5, insert: ' world' }])
  relay.open(l) // with the same text, in the same epoch
  all()
  assert.deepEqual([lost, relay.text], [[], 'hello world'])
  relay.cut(l)
  doc.edit([{ from: 11, to: 11, insert: '!' }])
  Object.assign(relay, { text: '', log: [] })
  l.up = true
  l.hear({ type: 'connected', write: true })
  l.hear({ type: 'document', epoch: 'another', version: 0, text: '', cursors: [] })
  assert.deepEqual([lost, doc.text], [['hello world'], '!'])
  doc.edit([{ from: 0, to: 0, insert: lost[0] }])
  all()
  assert.equal(relay.text, 'hello world!')
  doc.close()
})
