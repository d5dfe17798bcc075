import { entries } from './short'
import type { Doc } from './document'
import type { Off } from './emitter'
import { compose, difference, edits, operation, transform, type Op } from './text'

/** A text as a textarea has it: all ends of lines are line feeds. */
const fed = (text: string) => text.replace(/\r\n?/g, '\n')

/** The place in a text of a place in the textarea's. */
const place = (text: string, at: number) => {
  for (const { index } of text.matchAll(/\r\n/g)) at += +(at > index!)
  return at
}

/** Binds a textarea to a document: what is typed goes out, what others do comes in, and the selection stays where it was. */
export function textarea(doc: Doc, el: HTMLTextAreaElement): Off {
  let mine = false // the change that is told is the one that we make
  let composing = false // an input method is: others' changes are held back
  let shown = '' // the text that the textarea had last
  let held: Op = [] // what others did since
  const show = () => {
    el.readOnly = !doc.ready || !doc.writable
    if (!doc.ready || composing) return
    const { from, to, insert } = difference(el.value, fed(doc.text))
    if (to > from || insert) el.setRangeText(insert, from, to, 'preserve')
    shown = doc.text
    held = []
  }
  const typed = () => {
    if (!doc.ready || composing) return
    const { from, to, insert } = difference(fed(shown), el.value)
    mine = true
    doc.edit(edits(transform(operation([{ from: place(shown, from), to: place(shown, to), insert }]), held)))
    mine = false
    show()
  }
  const point = () => {
    const { selectionStart: start, selectionEnd: end } = el
    if (document.activeElement === el) doc.cursor(place(doc.text, end), place(doc.text, start))
  }
  const compose_ = (e: Event) => {
    composing = e.type === 'compositionstart'
    typed()
  }
  const handlers: Record<string, (e: any) => void> = { input: typed, compositionstart: compose_, compositionend: compose_, keyup: point, pointerup: point, focus: point }
  const stop = new AbortController()
  const off = [
    doc.on('change', (c) => {
      if (mine) return
      held = compose(held, operation(c.edits))
      show()
    }),
    doc.on('status', show),
    () => stop.abort(),
  ]
  for (const [name, f] of entries(handlers)) el.addEventListener(name, f, stop)
  show()
  return () => off.forEach((f) => f())
}
