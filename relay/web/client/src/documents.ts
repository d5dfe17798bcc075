import { random } from './short'
import type { Weir } from './client'
import { openText, type Doc } from './document'

export type { Cursor, Doc, DocEvents } from './document'
export { textarea } from './textarea'
export { codemirror, type CodeMirror } from './codemirror'
export type { Edit } from './text'

/** Opens a shared document. */
export const openDocument = (weir: Weir, id: string): Doc => openText(id, random().toString(36).slice(2), weir.live)
