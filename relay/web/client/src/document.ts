import { later, max, min, never } from './short'
import type { Weir } from './client'
import { emitter, type On } from './emitter'
import type { Status } from './link'
import { compose, difference, edits, operation, patch, points, shift, toPoints, toUnits, transform, units, whole, type Edit, type Op } from './text'
import type { Message } from './wire'

/** Where somebody else is, in UTF-16 units of the text here. */
export interface Cursor {
  userId: string
  name: string
  color: string
  position: number
  selection: { start: number; end: number } | null
}

export interface DocEvents {
  /** The text is different now. Local: by this program. */
  change: { edits: Edit[]; before: string; local: boolean }
  cursors: Map<string, Cursor>
  /** The connection, or whether everything is saved, is different now. */
  status: { status: Status; reason: string }
  error: { code: string; message: string }
  /** The relay has begun the document anew, without what was saved: text is what it had. Edits that were not saved stay. */
  lost: { text: string }
}

/**
 * A shared text. Edits are there at once and sent one after the other; what others do meanwhile is moved over them, so
 * that everybody ends with the same text. Offsets are those of JavaScript strings; the relay counts code points.
 */
export interface Doc {
  readonly id: string
  readonly text: string
  /** The text has arrived. */
  readonly ready: boolean
  /** The token lets one edit it. */
  readonly writable: boolean
  readonly status: Status
  /** What was edited here has reached the relay. */
  readonly saved: boolean
  /** Others' cursors, by connection. */
  readonly cursors: Map<string, Cursor>
  on: On<DocEvents>
  /**
   * Changes the text: edits in order, all in units of the text before. Half of a surrogate pair that would be left or
   * come alone becomes U+FFFD; the event change says what was done.
   */
  edit(list: Edit[]): void
  /** Tells others where the cursor is, and what is selected. */
  cursor(position: number, anchor?: number): void
  close(): void
}

type Place = Pick<Cursor, 'position' | 'selection'>

/** Where a cursor is after f, which moves a position. */
const move = <T extends Place>(c: T, f: (n: number) => number): T => ({
  ...c,
  position: f(c.position),
  selection: c.selection && { start: f(c.selection.start), end: f(c.selection.end) },
})

/**
 * An operation in two, if it is larger than a message may be: the first has no more than so many UTF-16 units of text, and
 * the other one does the rest after it.
 */
const halve = (op: Op, most: number): [Op, Op?] => {
  let at = 0 // in the text after the first
  let room = most
  for (let i = 0; i < op.length; i++) {
    const p = op[i]
    const text = typeof p === 'string'
    if (text ? p.length > room : room < 20) {
      const n = text ? max(0, room - +(p.charCodeAt(room - 1) >> 10 === 54)) : 0 // not within a pair
      const first = text && n ? [...op.slice(0, i), p.slice(0, n)] : op.slice(0, i)
      return [first, [at + n, ...(text ? [p.slice(n)] : [p]), ...op.slice(i + 1)]]
    }
    room -= text ? p.length : 20 // bytes are six a unit, at most
    if (text) at += p.length
    else if (typeof p === 'number') at += p
  }
  return [op]
}

export function openText(id: string, src: string, live: Weir['live']): Doc {
  const [on, tell] = emitter<DocEvents>()
  const cursors: Doc['cursors'] = new Map()
  let text = ''
  let ready = false
  let writable = false
  let most = 1e4 // UTF-16 units of an operation
  let status: Status = 'connecting'
  let base = '' // the text at version, without what waits
  let version = 0
  let epoch = ''
  let waits: Op[] = [] // edits that are not in base: at most two, and the first of them is sent
  let sent = 0 // number of the one that is sent; 0 none
  let count = 0
  let place: Place | undefined // of the cursor here
  let told = true // the relay knows it
  let timer: any

  const show = (op: Op, local: boolean) => {
    const before = text
    const by = (n: number) => shift(n, op)
    text = patch(text, op)
    for (const [key, c] of cursors) cursors.set(key, move(c, by))
    if (place) place = move(place, by)
    tell('change', { edits: edits(op), before, local })
    tell('cursors', cursors)
  }
  const say = (s = status, reason = '') => tell('status', { status: (status = s), reason })

  // Sends what waits, one at a time, or else where the cursor is: the relay knows no place in a text that it has not got.
  const flush = (again?: boolean) => {
    if (status !== 'open') return
    if (waits[0]) {
      if (sent && !again) return
      if (!sent) {
        const [first, rest] = halve(waits[0], most)
        waits = rest ? [first, waits[1] ? compose(rest, waits[1]) : rest] : waits
      }
      sent ||= ++count
      link.send({ type: 'operation', id: sent, version, operation: toPoints(waits[0], base) })
    } else if (!told && !timer) {
      link.send({ type: 'cursor', version, ...move(place!, (n) => points(base.slice(0, n))) })
      told = true
    }
  }
  const apply = (op: Op, to: number) => {
    base = patch(base, op)
    version = to
  }
  // Moves an operation of others over what waits here, that over the operation, and shows it.
  const through = (op: Op, by?: string) => {
    waits = waits.map((ours) => {
      const moved = transform(ours, op, true)
      op = transform(op, ours, false)
      return moved
    })
    show(op, false)
    // Whoever made it is behind what they did last.
    const author = cursors.get(by!)
    const last = edits(op).at(-1)
    if (author && last) cursors.set(by!, { ...author, position: shift(last.from, op) + last.insert.length, selection: null })
  }
  const answered = (to: number) => {
    apply(waits.shift()!, to)
    sent = 0
    flush()
    say()
  }
  const remote = (m: Message) => {
    if (m.version <= version) return // had it
    if (m.src === src && m.id === sent) return answered(m.version)
    const op = toUnits(m.operation, base)
    apply(op, m.version)
    through(op, m.connectionId)
  }
  const mark = (m: Message) => {
    if (m.gone) cursors.delete(m.connectionId)
    else cursors.set(m.connectionId, move(m as never, (n) => waits.reduce(shift, units(base, n))))
  }
  const hear = (m: Message): void => {
    switch (m.type) {
      case 'connected':
        writable = m.write
        most = ((m.limits?.message ?? 65536) - 500) / 6 | 0 // what is not text has room in 500 bytes, and JSON has six for a unit
        return
      case 'document':
      case 'resync': {
        status = 'open'
        const lost = epoch && epoch !== m.epoch && !m.operations && m.text !== base && base
        epoch = m.epoch
        if (m.operations) m.operations.forEach(remote)
        else {
          if (sent && patch(base, waits[0]) === m.text) answered(m.version) // it had arrived
          const op = operation([difference(base, m.text)])
          apply(op, m.version)
          ready = true
          through(op)
        }
        cursors.clear()
        m.cursors.forEach(mark)
        tell('cursors', cursors)
        flush(true)
        say()
        if (lost) tell('lost', { text: lost })
        return
      }
      case 'operation':
        return remote(m)
      case 'cursor':
        mark(m)
        return tell('cursors', cursors)
    }
    if (!sent || m.id !== sent) return
    switch (m.type) {
      case 'ok':
        return answered(m.version)
      case 'error':
        if (m.retryable) return void later(flush, 1e3, true)
        tell('error', m as never)
        // It can not be done: back to what the relay has.
        show(operation([difference(text, base)]), false)
        waits = []
        sent = 0
        flush()
        say()
    }
  }

  // Where the text stands here is said; what came after is all that is sent.
  const link = live(() => `/documents/${encodeURIComponent(id)}/collaborate?src=${src}` + (epoch && `&epoch=${epoch}&version=${version}`), hear,
    (s, reason) => s === 'open' || say(s, reason)) // it is open when the document has come
  // A cursor that is not told of now and then goes.
  const beat = setInterval(() => {
    told = !place
    flush()
  }, 2e4)

  return {
    id,
    get text() {
      return text
    },
    get ready() {
      return ready
    },
    get writable() {
      return writable
    },
    get status() {
      return status
    },
    get saved() {
      return !waits[0]
    },
    cursors,
    on,
    edit(list) {
      const op = operation(whole(text, list))
      if (!op[0]) return
      // The one that is sent stays as it is.
      const i = sent ? 1 : 0
      waits[i] = waits[i] ? compose(waits[i], op) : op
      show(op, true)
      flush()
    },
    cursor(position, anchor = position) {
      place = { position, selection: anchor === position ? null : { start: min(anchor, position), end: max(anchor, position) } }
      told = false
      timer ??= later(() => {
        timer = undefined
        flush()
      }, 50)
    },
    close() {
      clearInterval(beat)
      never(timer)
      link.close()
    },
  }
}
