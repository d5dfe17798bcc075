// An answer that comes token by token, in two browsers on two nodes of a cluster. The node that one of them is on, and that owns
// the channel, is killed in the middle: both have the whole text, with nothing missing and nothing twice.
import { equal } from './lib.mjs'
import { browser, move, nodes, open, patience, road, shot, troubles } from './cluster-nodes.mjs'

const channel = 'demo:e2e'
const text = (page, id) => page.evaluate((id) => document.querySelector(`#answer-${id} p`)?.textContent ?? '', id)
const has = (page, id, points) => page.waitForFunction(([id, n]) => [...(document.querySelector(`#answer-${id} p`)?.textContent ?? '')].length >= n, [id, points], { timeout: patience })

const [dies, stays, other] = nodes
await move(channel, dies)
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
await shot(a, 'answer')
await shot(dashboard, 'dashboard')
equal(troubles, [], 'errors of the dashboard')
await browser.close()
console.log('ok')
process.exit()
