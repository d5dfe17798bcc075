import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load } from './load.mjs'

const t = await load('text')
const { openText } = await load('document')

test('what is larger than a message is sent in several, and nothing of it is lost', () => {
  const limit = 2000
  for (const paste of ['x'.repeat(20000), '\u0001'.repeat(3000), '😅'.repeat(3000), 'a😅'.repeat(1000), '\u2028'.repeat(3000)])
    for (const cut of [0, 3]) {
      let hear
      let told
      let largest = 0
      let messages = 0
      let taken = 0
      const sent = []
      const server = { text: '12345', version: 0 }
      const doc = openText('d', 'a', (_path, h, s) => {
        ;[hear, told] = [h, s]
        return { send: (m) => sent.push(m), again() {}, close() {}, wake_() {} }
      })
      const open = (rest) => {
        told('open', '')
        hear({ type: 'connected', write: true, limits: { message: limit } })
        hear({ type: 'document', epoch: 'e', version: server.version, cursors: [], ...rest })
      }
      open({ text: server.text })
      doc.edit([{ from: 1, to: 3, insert: paste }, { from: 5, to: 5, insert: paste }])
      const want = doc.text
      while (sent[0]) {
        const m = sent.shift()
        if (m.type !== 'operation' || m.id <= taken) continue // what is sent again is known by its id
        taken = m.id
        largest = Math.max(largest, Buffer.byteLength(JSON.stringify(m)))
        server.text = t.patch(server.text, t.toUnits(m.operation, server.text))
        server.version++
        if (++messages === cut) {
          // It arrived, its answer did not; meanwhile one types on.
          told('waiting', 'cut')
          doc.edit([{ from: 0, to: 0, insert: 'y' }])
          open({ operations: [{ type: 'operation', id: m.id, src: 'a', version: server.version, operation: m.operation }] })
        } else hear({ type: 'ok', id: m.id, version: server.version })
      }
      assert.ok(largest <= limit, `${largest} bytes`)
      assert.ok(messages > 3)
      assert.equal(server.text, (cut ? 'y' : '') + want)
      assert.equal(doc.text, server.text)
      assert.ok(doc.saved)
      doc.close()
    }
})
