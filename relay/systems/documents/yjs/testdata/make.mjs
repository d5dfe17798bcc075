// Makes updates.jsonl.gz: random documents, their updates in the order in which they were made, and what yjs makes of
// them. Run beside an installed npm yjs: node make.mjs updates.jsonl.gz
import * as Y from 'yjs'
import fs from 'fs'
import zlib from 'zlib'
let s = 12345
const rnd = (n) => { s = (Math.imul(s, 1664525) + 1013904223) >>> 0; return Math.floor(s / 4294967296 * n) }
const b64 = (u) => Buffer.from(u).toString('base64')
const words = ['a', 'hello ', '😅', 'ü', '👩‍👧', '\n', 'long '.repeat(20)]
function edit(doc) {
  const t = doc.getText('t'), m = doc.getMap('m'), a = doc.getArray('a'), x = doc.getXmlFragment('x')
  switch (rnd(14)) {
    case 0: case 1: case 2: case 3: { t.insert(rnd(t.length + 1), words[rnd(words.length)]); break }
    case 4: case 5: { if (t.length) { const i = rnd(t.length); t.delete(i, 1 + rnd(Math.min(5, t.length - i))) } break }
    case 6: { if (t.length > 2) { const i = rnd(t.length - 1); t.format(i, 1 + rnd(t.length - i), { bold: rnd(2) ? true : null }) } break }
    case 7: { t.insertEmbed(rnd(t.length + 1), { image: 'x' + rnd(9), n: [1, 2, { q: null }] }); break }
    case 8: { m.set('k' + rnd(5), [rnd(9), rnd(9) / 7, -rnd(1e6), 'str', true, null, undefined, new Uint8Array([1, 2]), { o: { p: 123456789n } }, 1e300][rnd(10)]); break }
    case 9: { m.delete('k' + rnd(5)); break }
    case 10: { a.insert(rnd(a.length + 1), [rnd(5), 'x', { y: 1 }, [2, 3], new Uint8Array([9])].slice(rnd(5))); break }
    case 11: { if (a.length) a.delete(rnd(a.length), 1); break }
    case 12: { const e = new Y.XmlElement('p'); e.setAttribute('c', 'd' + rnd(4)); e.insert(0, [new Y.XmlText('tx' + rnd(9))]); x.insert(rnd(x.length + 1), [e]); break }
    case 13: { const n = new Y.Map(); m.set('n' + rnd(3), n); n.set('t', new Y.Text('deep')); if (rnd(4) === 0) m.set('sub', new Y.Doc({ guid: 'g' + rnd(9), meta: { a: 1 } })); break }
  }
}
const out = []
for (let round = 0; round < 120; round++) {
  const docs = Array.from({ length: 1 + rnd(4) }, (_, i) => { const d = new Y.Doc({ gc: rnd(2) === 0 }); d.clientID = 100000 * (round + 1) + i * 7; return d })
  const log = []
  docs.forEach((d) => d.on('update', (u, origin) => { if (origin !== 'remote') log.push(u) }))
  const seen = docs.map(() => 0)
  const vectors = []
  const sync = (i) => { while (seen[i] < log.length) Y.applyUpdate(docs[i], log[seen[i]++], 'remote') }
  for (let k = 0; k < 10 + rnd(60); k++) {
    const i = rnd(docs.length)
    if (rnd(3) === 0) sync(i)
    docs[i].transact(() => { for (let n = 0; n <= rnd(3); n++) edit(docs[i]) })
    if (rnd(10) === 0) vectors.push(Y.encodeStateVector(docs[i]))
    if (rnd(15) === 0) log.push(Y.encodeStateAsUpdate(docs[i])) // a client that uploads all it has
    if (rnd(15) === 0 && vectors.length) log.push(Y.encodeStateAsUpdate(docs[i], vectors[rnd(vectors.length)]))
    if (rnd(25) === 0 && log.length > 3) log.push(Y.mergeUpdates(log.slice(-3)))
  }
  docs.forEach((_, i) => sync(i))
  const updates = log.slice()
  const order = updates.map((u) => u)
  if (rnd(3) === 0) for (let i = order.length - 1; i > 0; i--) { const j = rnd(i + 1);[order[i], order[j]] = [order[j], order[i]] }
  const merged = order.length > 1 ? Y.mergeUpdates(order) : order[0]
  const half = order.length > 3 ? Y.mergeUpdates(order.slice(order.length >> 1)) : merged
  const all = new Y.Doc(); Y.applyUpdate(all, merged)
  const v = vectors.length ? vectors[rnd(vectors.length)] : Y.encodeStateVector(docs[0])
  out.push(JSON.stringify({ updates: order.map(b64), merged: b64(merged), half: b64(half), vector: b64(Y.encodeStateVectorFromUpdate(merged)), since: b64(v), diff: b64(Y.diffUpdate(merged, v)), state: b64(Y.encodeStateAsUpdate(all)) }))
}
fs.writeFileSync(process.argv[2], zlib.gzipSync(out.join('\n') + '\n', { level: 9 }))
