// Operations on text, as the type ot-text-unicode has them: a list of skips, inserts and deletes, in which every
// length counts code points. Browsers count UTF-16 units.

/** A number skips, a string is inserted, {d} deletes as many. */
export type Op = (number | string | { d: number | string })[]
type Part = Op[number]

/** @internal Length in code points. */
export function points(s: string): number {
  let n = s.length
  for (let i = 0; i < s.length - 1; i++) if (s.codePointAt(i)! > 0xffff) n--, i++
  return n
}

/** @internal Where, in UTF-16 units, the n-th code point after from is. */
export function unit(s: string, n: number, from = 0): number {
  while (n-- > 0) from += s.codePointAt(from)! > 0xffff ? 2 : 1
  return from
}

const size = (p: Part): number => (typeof p === 'number' ? p : typeof p === 'string' ? points(p) : typeof p.d === 'number' ? p.d : points(p.d))
const inserts = (p: Part | undefined): p is string => typeof p === 'string'
const deletes = (p: Part | undefined): p is { d: number } => typeof p === 'object'

/** An operation under construction: in normal form but for skips at its end, which op takes away. */
class Builder {
  parts_: Op = []
  add_(p: Part): void {
    const n = size(p)
    if (!n) return
    const last = this.parts_.at(-1)
    if (inserts(p) && inserts(last)) this.parts_.push(this.parts_.pop() + p)
    else if (deletes(p)) this.parts_.push({ d: n + (deletes(last) ? (this.parts_.pop() as { d: number }).d : 0) })
    else if (typeof p === 'number' && typeof last === 'number') this.parts_.push((this.parts_.pop() as number) + n)
    else this.parts_.push(p)
  }
  op_(): Op {
    if (typeof this.parts_.at(-1) === 'number') this.parts_.pop()
    return this.parts_
  }
}

/** Reads an operation in pieces. */
class Reader {
  at_ = 0
  used_ = 0 // of the part at
  constructor(public op_: Op) {}
  peek_(): Part | undefined {
    return this.op_[this.at_]
  }
  /** The next part, cut to n code points unless it is of a kind that does not count; a skip at the end. */
  take_(n: number, whole?: (p: Part) => boolean): Part {
    const p = this.peek_()
    if (p === undefined) return n
    const left = size(p) - this.used_
    const m = whole?.(p) ? left : Math.min(n, left)
    const from = this.used_
    if (m === left) this.at_++, (this.used_ = 0)
    else this.used_ += m
    if (typeof p === 'number') return m
    if (deletes(p)) return { d: m }
    const start = unit(p, from)
    return p.slice(start, unit(p, m, start))
  }
}

/** @internal One operation that does what the two do, one after the other. */
export function compose(first: Op, second: Op): Op {
  const out = new Builder()
  const r = new Reader(first)
  for (const p of second) {
    if (inserts(p)) {
      out.add_(p)
      continue
    }
    for (let n = size(p); n > 0; ) {
      const part = r.take_(n, deletes)
      if (!deletes(part)) n -= size(part)
      if (!deletes(p) || deletes(part)) out.add_(part)
      else if (!inserts(part)) out.add_({ d: size(part) })
    }
  }
  while (r.peek_() !== undefined) out.add_(r.take_(Infinity))
  return out.op_()
}

/** @internal The operation as it is after another one that was made on the same text. Left: it goes first where both insert. */
export function transform(op: Op, other: Op, side: 'left' | 'right'): Op {
  const out = new Builder()
  const r = new Reader(op)
  for (const p of other) {
    if (inserts(p)) {
      if (side === 'left' && inserts(r.peek_())) out.add_(r.take_(Infinity))
      out.add_(size(p))
      continue
    }
    for (let n = size(p); n > 0; ) {
      const part = r.take_(n, inserts)
      if (!inserts(part)) n -= size(part)
      if (!deletes(p) || inserts(part)) out.add_(part)
    }
  }
  while (r.peek_() !== undefined) out.add_(r.take_(Infinity))
  return out.op_()
}

/** @internal Where a position, in code points, is after an operation. */
export function move(position: number, op: Op): number {
  let at = 0
  for (const p of op) {
    if (at > position) break
    if (inserts(p)) position += size(p), (at += size(p))
    else if (deletes(p)) position -= Math.min(size(p), position - at)
    else at += size(p)
  }
  return position
}

/** A piece of a change of text, in UTF-16 units of the text before it. */
export interface Edit {
  from: number
  to: number
  insert: string
}

/** @internal The edits of an operation, first to last, each in units of the text before all of them. */
export function edits(text: string, op: Op): Edit[] {
  const out: Edit[] = []
  let at = 0
  for (const p of op) {
    if (typeof p === 'number') {
      at = unit(text, p, at)
      continue
    }
    const to = deletes(p) ? unit(text, size(p), at) : at
    const insert = inserts(p) ? p : ''
    const last = out.at(-1)
    if (last?.to === at) {
      last.to = to
      last.insert += insert
    } else out.push({ from: at, to, insert })
    at = to
  }
  return out
}

/** @internal The text after edits. */
export function patch(text: string, list: Edit[]): string {
  let out = ''
  let at = 0
  for (const e of list) {
    out += text.slice(at, e.from) + e.insert
    at = e.to
  }
  return out + text.slice(at)
}

/** @internal What makes one text of the other: one edit that splits no code point. */
export function difference(a: string, b: string): Edit {
  const most = Math.min(a.length, b.length)
  let from = 0
  while (from < most && a[from] === b[from]) from++
  if (from && /[\ud800-\udbff]/.test(a[from - 1])) from--
  let end = 0
  while (end < most - from && a.at(-1 - end) === b.at(-1 - end)) end++
  if (end && /[\udc00-\udfff]/.test(a.at(-end)!)) end--
  return { from, to: a.length - end, insert: b.slice(from, b.length - end) }
}

/** @internal The operation of edits that are in units of the text before all of them. */
export function operation(text: string, list: Edit[]): Op {
  const out = new Builder()
  let at = 0
  for (const e of list) {
    out.add_(points(text.slice(at, e.from)))
    out.add_({ d: points(text.slice(e.from, e.to)) })
    out.add_(e.insert)
    at = e.to
  }
  return out.op_()
}
