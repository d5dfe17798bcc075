import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

const dir = mkdtempSync(join(tmpdir(), 'weir-client-'))
process.on('exit', () => rmSync(dir, { recursive: true, force: true }))

/** A module of the client's source, as it is before its names are shortened. */
export async function load(name) {
  const { outputFiles } = await build({
    entryPoints: [new URL(`../src/${name}.ts`, import.meta.url).pathname],
    bundle: true, format: 'esm', target: 'es2022', write: false, logLevel: 'error',
  })
  const file = join(dir, name + '.mjs')
  writeFileSync(file, outputFiles[0].contents)
  return import(file)
}

/** Numbers from 0 to 1 that are the same for the same seed. */
export function dice(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const alphabet = ['a', 'b', '\n', 'é', '😅', '👍']
export function randomText(roll, most) {
  return Array.from({ length: Math.floor(roll() * most) }, () => alphabet[Math.floor(roll() * alphabet.length)]).join('')
}
export function randomEdits(roll, text) {
  const chars = [...text]
  const list = []
  let at = 0
  let unit = 0
  while (at <= chars.length && list.length < 3) {
    const skip = Math.floor(roll() * (chars.length - at + 1))
    unit += chars.slice(at, at + skip).join('').length
    at += skip
    const gone = Math.floor(roll() * Math.min(4, chars.length - at + 1))
    const to = unit + chars.slice(at, at + gone).join('').length
    const insert = roll() < 0.7 ? randomText(roll, 4) : ''
    if (list.at(-1)?.to !== unit && (to > unit || insert)) list.push({ from: unit, to, insert })
    at += gone
    unit = to
    if (at >= chars.length) break
  }
  return list
}
