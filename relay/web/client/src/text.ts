import { max, min } from './short'
// Operations on text as the type ot-text-unicode has them: a list of skips, inserts and deletes. On the wire every
// length counts code points; here it counts UTF-16 units, as strings do.

/** A number skips, a string is inserted, {d} deletes as many. */
export type Op = Part[]
type Part = number | string | { d: number }

/** A piece of a change of text, in UTF-16 units of the text before it. */
export interface Edit {
  from: number
  to: number
  insert: string
}

const inserts = (p: Part | undefined): p is string => typeof p === 'string'
const skips = (p: Part): p is number => typeof p === 'number'
const deletes = (p: Part | undefined): p is { d: number } => typeof p === 'object'
const size = (p: Part): number => (inserts(p) ? p.length : skips(p) ? p : p.d)

/** Appends a part to an operation, which stays in normal form but for skips at its end. */
const add = (op: Op, p: Part): void => {
  const n = size(p)
  const last = op.at(-1)
  if (!n) return
  if (typeof p !== typeof last) op.push(p)
  else op[op.length - 1] = deletes(p) ? { d: n + size(last!) } : ((last as string) + (p as string))
}

const cut = (p: Part, from: number, to: number): Part => (inserts(p) ? p.slice(from, to) : skips(p) ? to - from : { d: to - from })

/** Goes through an operation along another. Parts of the kind whole count for nothing there. */
const walk = (op: Op, other: Op, whole: (p: Part) => boolean, insert: (p: string, out: Op, rest: Op) => void, each: (p: Part, part: Part) => Part): Op => {
  const out: Op = []
  const rest = [...op]
  for (const p of other) {
    if (inserts(p)) insert(p, out, rest)
    else
      for (let n = size(p); n > 0; ) {
        let part = rest.shift() ?? n
        if (!whole(part)) {
          const m = size(part)
          if (m > n) {
            rest.unshift(cut(part, n, m))
            part = cut(part, 0, n)
          }
          n -= m
        }
        add(out, each(p, part))
      }
  }
  rest.forEach((p) => add(out, p))
  return skips(out.at(-1)!) ? out.slice(0, -1) : out
}

/** One operation that does what the two do, one after the other. */
export const compose = (first: Op, second: Op): Op =>
  walk(first, second, deletes, (p, out) => add(out, p), (p, part) => (skips(p) || deletes(part) ? part : skips(part) ? { d: part } : 0))

/** An operation as it is after another that was made on the same text. Left: it goes first where both insert. */
export const transform = (op: Op, other: Op, left?: boolean): Op =>
  walk(op, other, inserts, (p, out, rest) => {
    if (left && inserts(rest[0])) add(out, rest.shift()!)
    add(out, p.length)
  }, (p, part) => (skips(p) || inserts(part) ? part : 0))

/** The edits of an operation, in order. */
export function edits(op: Op): Edit[] {
  const out: Edit[] = []
  let at = 0
  for (const p of op) {
    if (!skips(p)) {
      if (out.at(-1)?.to !== at) out.push({ from: at, to: at, insert: '' })
      if (inserts(p)) out.at(-1)!.insert += p
      else out.at(-1)!.to += p.d
    }
    if (!inserts(p)) at += size(p)
  }
  return out
}

/** Where a position is after an operation; one at the place of an insert stays before it. */
export const shift = (position: number, op: Op): number =>
  edits(op).reduce((n, e) => (e.from < position ? n + e.insert.length + e.from - min(e.to, position) : n), position)

/** The operation of edits. */
export function operation(list: Edit[]): Op {
  const out: Op = []
  let at = 0
  for (const { from, to, insert } of list) {
    add(out, from - at)
    add(out, { d: to - from })
    add(out, insert)
    at = to
  }
  return out
}

/** Whether a place is between the two halves of a surrogate pair. */
const splits = (text: string, at: number) => text.codePointAt(at - 1)! > 0xffff

/**
 * Edits of a text after which it is as whole as before: what is left of a surrogate pair of which they take one half, and
 * a half that they bring, is U+FFFD, which is as long. Nobody could store or send a half.
 */
export const whole = (text: string, list: Edit[]): Edit[] =>
  edits(operation(list)).map(({ from, to, insert }) => {
    if (splits(text, from)) insert = text[--from] + insert
    if (splits(text, to)) insert += text[to++]
    return { from, to, insert: insert.replace(/\p{Surrogate}/gu, '\ufffd') }
  })

/** The text after an operation. */
export const patch = (text: string, op: Op): string => edits(op).reduceRight((t, e) => t.slice(0, e.from) + e.insert + t.slice(e.to), text)

/** What makes one text of the other: one edit that splits no code point. */
export function difference(a: string, b: string): Edit {
  const most = min(a.length, b.length)
  let from = 0
  while (from < most && a[from] === b[from]) from++
  from -= +(a.charCodeAt(from - 1) >> 10 === 54) // half of a pair
  let end = 0
  while (end < most - from && a.at(-1 - end) === b.at(-1 - end)) end++
  end -= +(a.charCodeAt(a.length - end) >> 10 === 55)
  return { from, to: a.length - end, insert: b.slice(from, b.length - end) }
}

/** How many code points a text has. */
export const points = (s: string): number => [...s].length

/** How many units the first n code points behind a place take. */
export const units = (text: string, n: number, at = 0): number => {
  const from = at
  while (n-- > 0) at += text.codePointAt(at)! > 0xffff ? 2 : 1
  return at - from
}

/** An operation with its lengths counted in another way: count answers a length behind a place. */
const recount = (op: Op, count: (n: number, at: number) => number): Op => {
  let at = 0
  return op.map((p) => {
    if (inserts(p)) return p
    const n = size(p)
    const counted = count(n, at)
    at += max(n, counted) // there are never more code points than units
    return skips(p) ? counted : { d: counted }
  })
}

/** To the wire: the operation of a text in code points. */
export const toPoints = (op: Op, text: string): Op => recount(op, (n, at) => points(text.slice(at, at + n)))

/** From the wire. */
export const toUnits = (op: Op, text: string): Op => recount(op, (n, at) => units(text, n, at))
