import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EditorState, Text } from '@codemirror/state'
import { dice, load } from './load.mjs'
import { Relay, t } from './relay.mjs'

// All that edits a document at once, with what is hard to keep whole: halves of surrogate pairs, ends of lines of all
// kinds, marks that belong to what is before them, and those that turn the direction.
const { openText } = await load('document')
const { textarea } = await load('textarea')
const { codemirror } = await load('codemirror')

const odd = ['a', '😀', '\ud83d', '\ude00', '😀'[1] + '😀'[0], 'e\u0301', '\u0301', '\r\n', '\r', '\n', '\u202e', '\u200f', '\u2028', '\0', '👩‍👩‍👦']
const text = (roll) => Array.from({ length: Math.floor(roll() * 4) }, () => odd[Math.floor(roll() * odd.length)]).join('')
const span = (roll, n) => [Math.floor(roll() * (n + 1)), Math.floor(roll() * (n + 1))].sort((a, b) => a - b)

/** A textarea as browsers have it: ends of lines are line feeds, and its events are called by hand. */
class Area {
  #value = ''
  handlers = {}
  selectionStart = 0
  selectionEnd = 0
  get value() { return this.#value }
  set value(s) { this.#value = s.replace(/\r\n?/g, '\n') }
  setRangeText(s, from, to) { this.value = this.#value.slice(0, from) + s + this.#value.slice(to) }
  addEventListener(name, f) { this.handlers[name] = f }
  edit(roll) {
    const [from, to] = span(roll, this.value.length)
    this.setRangeText(text(roll), from, roll() < 0.5 ? from : to)
    this.handlers.input({ type: 'input' })
  }
}

/** CodeMirror's state, with as much of a view as the binding needs. */
class View {
  state = EditorState.create({ doc: '' })
  hasFocus = false
  constructor(doc) {
    this.plugin = codemirror(doc, { ViewPlugin: { define: (f) => f }, Decoration: {}, WidgetType: class {} })(this)
  }
  dispatch({ changes }) {
    const tr = this.state.update({ changes })
    this.state = tr.state
    this.plugin?.update({ changes: tr.changes, state: tr.state, selectionSet: false })
  }
  edit(roll) {
    const changes = []
    for (let at = 0; at <= this.state.doc.length && changes.length < 3; ) {
      const [from, to] = span(roll, this.state.doc.length - at).map((n) => n + at)
      changes.push({ from, to: roll() < 0.5 ? from : to, insert: Text.of(text(roll).split('\n')) })
      at = to + 1
    }
    this.dispatch({ changes })
  }
}

const settled = () => new Promise((done) => setTimeout(done))

test('all bindings end with one text, and no half of a pair is in it', async (ctx) => {
  for (let seed = 1; seed <= 120; seed++) {
    const roll = dice(seed)
    const relay = new Relay()
    const docs = ['a', 'b', 'c'].map((src) => openText('d', src, relay.join(src)))
    ctx.after(() => docs.forEach((d) => d.close()))
    const seen = docs.map((d) => {
      const s = { text: '' }
      d.on('change', (c) => { s.text = t.patch(s.text, t.operation(c.edits)) })
      return s
    })
    const area = new Area()
    textarea(docs[1], area)
    const view = new View(docs[2])
    relay.links.forEach((l) => relay.open(l))
    for (let i = 0; i < 200; i++) {
      const n = Math.floor(roll() * 3)
      const [link, doc, what] = [relay.links[n], docs[n], roll()]
      if (what < 0.3 && doc.ready && doc.text.length < 40) {
        if (n === 1) area.edit(roll)
        else if (n === 2) view.edit(roll)
        else {
          const [from, to] = span(roll, doc.text.length)
          doc.edit([{ from, to: roll() < 0.5 ? from : to, insert: text(roll) }])
        }
      } else if (what < 0.6) relay.take(link)
      else if (what < 0.95) relay.give(link)
      else if (link.up && roll() < 0.5) relay.cut(link)
      else if (!link.up) relay.open(link)
      await null // what a binding puts right behind an update
    }
    for (const l of relay.links) if (!l.up) relay.open(l)
    for (let i = 0; i < 250; i++) for (const l of relay.links) relay.take(l), relay.give(l)
    await settled()
    for (let i = 0; i < 50; i++) for (const l of relay.links) relay.take(l), relay.give(l)
    await settled()
    assert.doesNotMatch(relay.text, /\p{Surrogate}/u)
    docs.forEach((d, i) => {
      assert.equal(d.text, relay.text, `seed ${seed}`)
      assert.equal(seen[i].text, relay.text)
      assert.ok(d.saved)
    })
    assert.equal(area.value, relay.text.replace(/\r\n?/g, '\n'), `seed ${seed}: the textarea`)
    assert.equal('' + view.state.doc, relay.text, `seed ${seed}: the editor`)
  }
})

test('half of a pair that is taken away leaves U+FFFD in the place of the other', () => {
  for (const [edits, want] of [
    [[{ from: 2, to: 3, insert: '' }], 'a\ufffdb'],
    [[{ from: 1, to: 2, insert: '' }], 'a\ufffdb'],
    [[{ from: 2, to: 2, insert: 'x' }], 'a\ufffdx\ufffdb'],
    [[{ from: 2, to: 3, insert: '\ude01' }], 'a😁b'],
    [[{ from: 1, to: 1, insert: '\ud83d' }], 'a\ufffd😀b'],
    [[{ from: 1, to: 1, insert: '\ud83d' }, { from: 1, to: 1, insert: '\ude01' }], 'a😁😀b'],
    [[{ from: 0, to: 2, insert: '' }, { from: 3, to: 4, insert: '!' }], '\ufffd!'],
  ]) {
    const got = t.whole('a😀b', edits)
    assert.equal(t.patch('a😀b', t.operation(got)), want, JSON.stringify(edits))
    assert.deepEqual(t.toUnits(t.toPoints(t.operation(got), 'a😀b'), 'a😀b'), t.operation(got))
  }
})

test('typing in a textarea leaves the ends of lines as they are', () => {
  const relay = new Relay()
  const doc = openText('d', 'a', relay.join('a'))
  const area = new Area()
  textarea(doc, area)
  relay.text = 'one\r\ntwo\r\n\rthree\n'
  relay.open(relay.links[0])
  relay.give(relay.links[0])
  relay.give(relay.links[0])
  for (const [from, to, insert, want] of [
    [4, 4, '>', 'one\r\n>two\r\n\rthree\n'],
    [3, 4, '', 'one>two\r\n\rthree\n'],
    [15, 15, '.', 'one>two\r\n\rthree\n.'],
    [8, 8, '-', 'one>two\r\n-\rthree\n.'],
  ]) {
    area.setRangeText(insert, from, to)
    area.handlers.input({ type: 'input' })
    assert.equal(doc.text, want)
  }
  doc.close()
})
