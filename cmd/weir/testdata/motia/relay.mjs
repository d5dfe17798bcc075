// A relay that a script starts, and starts again on the same address and data.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'

const { E2E_BINARY, E2E_LISTEN, E2E_ADMIN } = process.env
export const url = 'http://' + E2E_LISTEN
export const token = execFileSync(E2E_BINARY, ['token', '--dev', '--sub', 'ann'], { encoding: 'utf8' }).trim()

export const until = async (what, so) => {
  for (const end = Date.now() + 120_000; !(await so()); await new Promise((done) => setTimeout(done, 10))) {
    if (Date.now() > end) throw new Error('never: ' + what)
  }
}
export const same = (what, value, want) => until(`${what} is ${JSON.stringify(want)}`, async () => JSON.stringify(await value()) === JSON.stringify(want))
  .catch(async (e) => { throw new Error(`${e.message}, but ${JSON.stringify(await value())}`) })

const dir = mkdtempSync(join(tmpdir(), 'weir-motia-'))
let child
export async function start(...flags) {
  const how = flags.includes('--config') ? [] : ['--dev']
  child = spawn(E2E_BINARY, ['serve', ...how, '--listen', E2E_LISTEN, '--admin', E2E_ADMIN, '--data', dir, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  child.stderr.on('data', (chunk) => { log += chunk })
  child.on('exit', (code) => { if (code) console.error(log) })
  await until('the relay is ready', () => fetch(`http://${E2E_ADMIN}/readyz`).then((r) => r.ok, () => false))
}
export async function stop() {
  const ended = new Promise((done) => child.once('exit', done))
  child.kill('SIGTERM')
  await ended
}
process.on('exit', () => {
  child?.kill('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})
// The clients of Node.js do not handle a refused connection, and come back all the same.
process.on('uncaughtException', (e) => {
  if (e.code === 'ECONNREFUSED' || e.code === 'ECONNRESET') return
  console.error(e)
  process.exit(1)
})
