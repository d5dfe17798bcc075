import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { dice, load, randomEdits, randomText } from './load.mjs'

const t = await load('text')

// Lengths only: what is deleted need not be spelled out.
const plain = (op) => op.map((p) => (p.d === undefined ? p : { d: typeof p.d === 'number' ? p.d : t.points(p.d) }))
const text = (op) => op.map((p) => (typeof p === 'string' ? p : 'x'.repeat(typeof p === 'number' ? p : p.d ?? 0))).join('')

test('the vectors of the reference implementation', () => {
  const file = new URL('../../../systems/documents/text/testdata/text-unicode.jsonl.gz', import.meta.url)
  let checked = 0
  for (const line of gunzipSync(readFileSync(file)).toString().trim().split('\n')) {
    const v = JSON.parse(line)
    if (v.f !== 'apply') continue // others count code points of no text: the laws below hold them
    assert.equal(t.patch(v.s, t.toUnits(plain(v.op), v.s)), v.r, line)
    assert.deepEqual(t.toPoints(t.toUnits(plain(v.op), v.s), v.s), plain(v.op), line)
    checked++
  }
  assert.ok(checked > 1000)
})

test('transforming and composing keep their laws', () => {
  const roll = dice(7)
  for (let i = 0; i < 20000; i++) {
    const s = randomText(roll, 14)
    const a = t.operation(randomEdits(roll, s))
    const b = t.operation(randomEdits(roll, s))
    const sa = t.patch(s, a)
    const sb = t.patch(s, b)
    assert.equal(t.patch(sa, t.transform(b, a)), t.patch(sb, t.transform(a, b, true)), JSON.stringify([s, a, b]))
    const c = t.operation(randomEdits(roll, sa))
    assert.equal(t.patch(s, t.compose(a, c)), t.patch(sa, c), JSON.stringify([s, a, c]))
    assert.deepEqual(t.operation(t.edits(a)), a)
    const round = t.toUnits(t.toPoints(a, s), s)
    assert.deepEqual(round, a)
  }
})

test('a difference makes one text of the other and splits no code point', () => {
  const roll = dice(9)
  for (let i = 0; i < 20000; i++) {
    const a = randomText(roll, 10)
    const b = roll() < 0.5 ? randomText(roll, 10) : t.patch(a, t.operation(randomEdits(roll, a)))
    const e = t.difference(a, b)
    assert.equal(t.patch(a, t.operation([e])), b)
    for (const piece of [e.insert, a.slice(e.from, e.to), a.slice(0, e.from)]) assert.doesNotMatch(piece, /\p{Surrogate}/u)
  }
  assert.deepEqual(t.difference('😀', '😁'), { from: 0, to: 2, insert: '😁' })
})

test('positions move with the text', () => {
  assert.equal(t.shift(3, [1, 'ab']), 5)
  assert.equal(t.shift(1, [1, 'ab']), 1)
  assert.equal(t.shift(3, [1, { d: 5 }]), 1)
  assert.equal(text([1, 'ab']), 'xab')
})
