import { assign, min, stringify } from './short'
import type { Doc } from './document'
import { difference, operation, whole, type Edit } from './text'

/** What is needed of CodeMirror 6: all that @codemirror/view exports, and Transaction of @codemirror/state. */
export interface CodeMirror {
  ViewPlugin: any
  Decoration: any
  WidgetType: any
  /** With it, undo takes back what was typed here, and not what others typed. */
  Transaction?: any
}

/**
 * An extension that binds an editor to a document and shows where others are:
 * new EditorView({ extensions: [codemirror(doc, cm)] }).
 */
export function codemirror(doc: Doc, { ViewPlugin, Decoration, WidgetType, Transaction }: CodeMirror): any {
  const caret = (color: string, title: string) =>
    assign(new WidgetType(), {
      toDOM() {
        const at = assign(document.createElement('span'), { className: 'weir-caret', title })
        at.style.borderLeft = '2px solid ' + color
        return at
      },
    })
  return ViewPlugin.define(
    (view: any) => {
      let mine = false // the change that is told is the one that we make
      const take = (list: Edit[]) => {
        if (mine) return
        mine = true
        // As lines, which only a line feed ends: the editor would make one of a carriage return, too, and have another text.
        const { constructor } = view.state.doc
        const changes = list.map((e) => ({ ...e, insert: constructor.of(e.insert.split('\n')) }))
        view.dispatch({ changes, annotations: Transaction?.addToHistory.of(false) })
        mine = false
      }
      const sync = () => doc.ready && take([difference('' + view.state.doc, doc.text)])
      const off = [doc.on('change', (c) => take(c.edits)), doc.on('cursors', () => take([])), doc.on('status', sync)]
      queueMicrotask(sync)
      return {
        update(u: any) {
          const list: Edit[] = []
          u.changes.iterChanges((from: number, to: number, _a: number, _b: number, text: any) => list.push({ from, to, insert: '' + text }))
          if (!mine && doc.ready) {
            const good = whole(doc.text, list)
            mine = true
            doc.edit(good)
            mine = false
            if (stringify(operation(good)) !== stringify(operation(list))) queueMicrotask(sync) // not within an update
          }
          const { head, anchor } = u.state.selection.main
          if (u.selectionSet && view.hasFocus) doc.cursor(head, anchor)
        },
        marks: () =>
          Decoration.set(
            [...doc.cursors.values()].map((c) => Decoration.widget({ widget: caret(c.color, c.name), side: 1 }).range(min(c.position, view.state.doc.length))),
            true,
          ),
        destroy: () => off.forEach((f) => f()),
      }
    },
    { decorations: (v: any) => v.marks() },
  )
}
