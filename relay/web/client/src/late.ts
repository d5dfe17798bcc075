import type { Doc } from './document'
import type { Off } from './emitter'
import type { Weir } from './client'

/**
 * A document whose module is loaded now: until it is there the text is empty and not ready, and what is asked of it waits.
 * Fail is told if it cannot be loaded.
 */
export function lateDocument(weir: Weir, id: string, fail: (err: unknown) => void): Doc {
  let doc: Doc | undefined
  const waiting: ((d: Doc) => void)[] = []
  const none = new Map()
  const ask = (f: (d: Doc) => void): void => void (doc ? f(doc) : waiting.push(f))
  import('./weir-documents.js' as string).then((m) => {
    const d: Doc = (doc = m.openDocument(weir, id))
    for (const f of waiting) f(d)
  }).catch(fail)
  return {
    id,
    get text() {
      return doc?.text ?? ''
    },
    get ready() {
      return !!doc?.ready
    },
    get writable() {
      return !!doc?.writable
    },
    get status() {
      return doc?.status ?? 'connecting'
    },
    get saved() {
      return doc?.saved ?? !waiting.length
    },
    get cursors() {
      return doc?.cursors ?? none
    },
    on(event, f) {
      let off: Off | undefined
      let ended = false
      ask((d) => {
        if (!ended) off = d.on(event, f)
      })
      return () => {
        ended = true
        off?.()
      }
    },
    edit: (list) => ask((d) => d.edit(list)),
    cursor: (position, anchor) => ask((d) => d.cursor(position, anchor)),
    close: () => ask((d) => d.close()),
  }
}
