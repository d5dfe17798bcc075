// Three nodes of a cluster for the demos, a way to one of them for each browser, as a load balancer is, and the browsers. E2E_SHOTS is where pictures go, E2E_LOGS where
// whole logs do when something never comes.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const { E2E_BINARY: binary, E2E_CHROMIUM: executablePath = '/usr/bin/chromium', E2E_SHOTS: shots, E2E_LOGS: logs } = process.env
export const patience = 120_000
for (const dir of [shots, logs]) if (dir) mkdirSync(dir, { recursive: true })

/** Waits until something is so. why tells more of it when it never is. */
export async function until(what, ok, why = () => '') {
  for (const end = Date.now() + patience; ; ) {
    if (await ok()) return
    if (Date.now() > end) {
      if (logs) for (const n of nodes) writeFileSync(join(logs, n.name), n.log)
      throw new Error(`still not so: ${what} ${await why()}\n${nodes.map((n) => n.log.slice(-2000)).join('\n')}`)
    }
    await new Promise((done) => setTimeout(done, 50))
  }
}

// ---- the nodes ----

// None of those that the system gives to who connects, which may take it before it is used.
async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const server = createServer()
    if (!(await new Promise((done) => server.once('error', () => done(false)).listen(port, '127.0.0.1', () => done(true))))) continue
    await new Promise((done) => server.close(done))
    return port
  }
}
const ports = []
while (ports.length < 9) {
  const port = await freePort()
  if (!ports.includes(port)) ports.push(port)
}
const routes = ports.slice(6).map((port) => '127.0.0.1:' + port).join()
const data = mkdtempSync(join(tmpdir(), 'weir-cluster-'))
export const nodes = [0, 1, 2].map((i) => {
  const node = { name: 'n' + i, port: ports[i], admin: 'http://127.0.0.1:' + ports[3 + i], log: '' }
  node.process = spawn(binary, ['serve', '--dev', '--node', node.name, '--listen', '127.0.0.1:' + node.port, '--admin', '127.0.0.1:' + ports[3 + i],
    '--cluster-listen', '127.0.0.1:' + ports[6 + i], '--cluster-routes', routes, '--cluster-data', join(data, node.name)], { stdio: ['ignore', 'ignore', 'pipe'] })
  node.process.stderr.on('data', (d) => (node.log += d))
  return node
})
process.on('exit', () => {
  for (const { process } of nodes) process.kill('SIGKILL')
  rmSync(data, { recursive: true, force: true, maxRetries: 10 })
})
export const move = (channel, to) => until(`${channel} is moved`, () => spawnSync(binary, ['cluster', 'move', channel, to.name, '--admin', to.admin]).status === 0)

export async function road(to) {
  const way = { to }
  const server = createServer((browser) => {
    const node = connect(way.to.port, '127.0.0.1')
    for (const [one, other] of [[browser, node], [node, browser]]) one.on('error', () => {}).on('close', () => other.destroy()).pipe(other)
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  return Object.assign(way, { base: 'http://127.0.0.1:' + server.address().port })
}

for (const { name, admin } of nodes) await until(name + ' is ready', async () => (await fetch(admin + '/readyz').catch(() => ({}))).ok)

// ---- the browsers ----

/** What went wrong in pages. */
export const troubles = []
export const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
export async function open(url) {
  const page = await (await browser.newContext({ viewport: { width: 1200, height: 900 } })).newPage()
  page.on('pageerror', (err) => troubles.push(err.message))
  await page.goto(url)
  return page
}
export const shot = (page, name) => shots && page.screenshot({ path: join(shots, `cluster-${name}.png`), fullPage: true })
