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
