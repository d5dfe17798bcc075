import assert from 'node:assert/strict'
import { load } from './load.mjs'

export const t = await load('text')

/** A relay for one document: it orders operations and tells them, as slowly as the test wants. */
export class Relay {
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
    assert.doesNotMatch(m.operation.join(''), /\p{Surrogate}/u, 'half a pair is refused')
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
