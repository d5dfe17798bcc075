// An answer that comes token by token, in two browsers on two nodes of a cluster. The node that one of them is on, and that owns
// the channel, is killed in the middle: both have the whole text, with nothing missing and nothing twice. E2E_SHOTS is where pictures go.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { equal } from './lib.mjs'

const { E2E_BINARY: binary, E2E_CHROMIUM: executablePath = '/usr/bin/chromium', E2E_SHOTS: shots } = process.env
const channel = 'demo:e2e', patience = 120_000
if (shots) mkdirSync(shots, { recursive: true })

async function until(what, ok) {
  for (const end = Date.now() + patience; ; ) {
    if (await ok()) return
    if (Date.now() > end) throw new Error(`still not so: ${what}\n${nodes.map((n) => n.log.slice(-2000)).join('\n')}`)
    await new Promise((done) => setTimeout(done, 50))
  }
}

// ---- three nodes, and a way to one of them for each browser, as a load balancer is ----

const servers = await Promise.all(Array.from({ length: 9 }, () => new Promise((done) => {
  const server = createServer().listen(0, '127.0.0.1', () => done(server))
})))
const ports = servers.map((server) => server.address().port)
await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
const routes = ports.slice(6).map((port) => '127.0.0.1:' + port).join()
const data = mkdtempSync(join(tmpdir(), 'weir-cluster-'))
const nodes = [0, 1, 2].map((i) => {
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
const cluster = (node, ...args) => spawnSync(binary, ['cluster', ...args, '--admin', node.admin]).status === 0

async function road(to) {
  const way = { to }
  const server = createServer((browser) => {
    const node = connect(way.to.port, '127.0.0.1')
    for (const [one, other] of [[browser, node], [node, browser]]) one.on('error', () => {}).on('close', () => other.destroy()).pipe(other)
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  return Object.assign(way, { base: 'http://127.0.0.1:' + server.address().port })
}

// ---- the browsers ----

const troubles = []
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
async function open(url) {
  const page = await (await browser.newContext({ viewport: { width: 1200, height: 900 } })).newPage()
  page.on('pageerror', (err) => troubles.push(err.message))
  await page.goto(url)
  return page
}
const text = (page, id) => page.evaluate((id) => document.querySelector(`#answer-${id} p`)?.textContent ?? '', id)
const has = (page, id, points) => page.waitForFunction(([id, n]) => [...(document.querySelector(`#answer-${id} p`)?.textContent ?? '')].length >= n, [id, points], { timeout: patience })

const [dies, stays, other] = nodes
for (const { name, admin } of nodes) await until(name + ' is ready', async () => (await fetch(admin + '/readyz').catch(() => ({}))).ok)
await until('the channel is where its node is killed', () => cluster(stays, 'move', channel, dies.name))
const ways = await Promise.all([dies, stays].map(road))
const [a, b] = await Promise.all(ways.map(({ base }, i) => open(`${base}/demo/answer?user=${['ada', 'grace'][i]}&thread=e2e`)))
await b.waitForSelector('#status[data-state=open]')
await a.click('#ask-0')
await a.waitForSelector('#answers li[data-state=speaking]')
const id = (await a.getAttribute('#answers li', 'id')).slice('answer-'.length)
const want = await a.evaluate(async () => (await import('/demo/answer.js')).script[0][1])
await Promise.all([a, b].map((page) => has(page, id, 20)))

dies.process.kill('SIGKILL')
ways[0].to = other
const had = await text(b, id)
if (had === want) throw new Error('it was over before the node was killed')

for (const page of [a, b]) {
  await has(page, id, [...want].length)
  equal(await text(page, id), want, 'the text')
  await page.waitForSelector('#status[data-state=open]')
}
for (const { name, port } of [stays, other]) {
  const r = await fetch(`http://127.0.0.1:${port}/v1/channels/${channel}/answers/${id}`, { headers: { authorization: 'Bearer dev' } })
  equal((await r.json()).data, want, 'the item on ' + name)
}

// The one who was on the killed node asks again, and the dashboard of another one says which is gone.
await a.click('#ask-1')
const next = await a.evaluate(async () => (await import('/demo/answer.js')).script[1][1])
const second = '#answers li:nth-child(2) p'
for (const page of [a, b]) await page.waitForFunction(([at, want]) => document.querySelector(at)?.textContent === want, [second, next], { timeout: patience })
equal(troubles, [], 'errors of the pages')
const dashboard = await open(stays.admin + '/')
await dashboard.waitForFunction((name) => [...document.querySelectorAll('tr')].some((row) => row.textContent.includes(name) && row.textContent.includes('silent')), dies.name, { timeout: patience })
if (shots) for (const [page, name] of [[a, 'answer'], [dashboard, 'dashboard']]) await page.screenshot({ path: join(shots, `cluster-${name}.png`), fullPage: true })
equal(troubles, [], 'errors of the dashboard')
await browser.close()
console.log('ok')
process.exit()
