// Eight tabs of a page in Chromium share one connection, by weir-share.js: each hears everything once and in order, whichever of them
// goes, and those of another user have a connection of their own.
import { execFileSync } from 'node:child_process'
import { chromium } from 'playwright-core'
import { base, publish, road, token, equal } from './lib.mjs'

const { E2E_CHROMIUM: executablePath = '/usr/bin/chromium', E2E_BINARY } = process.env
const other = execFileSync(E2E_BINARY, ['token', '--dev', '--sub', 'another'], { encoding: 'utf8' }).trim()
const connections = async () => (await (await fetch(base + '/v1/connections?limit=100', { headers: { authorization: 'Bearer dev' } })).json()).connections
const until = async (what, so) => {
  let last
  for (const end = Date.now() + 30_000; !(await so((x) => (last = x))); await new Promise((done) => setTimeout(done, 20))) {
    if (Date.now() > end) throw new Error(`never: ${what}; ${JSON.stringify(last)}`)
  }
}

const way = await road(base)
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
const context = await browser.newContext()
await context.route('**/tabs*', (route) => route.fulfill({ contentType: 'text/html', body: `<!doctype html><script type="module">
  import { connect } from '/weir-share.js'
  window.statuses = []
  window.got = []
  window.errors = []
  window.weir = connect(location.origin, { token: location.search.includes('other') ? '${other}' : '${token}' })
  weir.on('status', ({ status }) => statuses.push(status))
  window.room = weir.channel('demo:tabs')
  room.on('change', ({ op, data }) => op === 'send' && got.push(data))
  room.on('error', (e) => errors.push(e))
  window.items = () => [...(room.state.get('items') ?? [])]
</script>` }))
const open = async (query = '') => {
  const page = await context.newPage()
  page.on('pageerror', (e) => console.error(e))
  await page.goto(way.origin + '/tabs' + query)
  await page.waitForFunction(() => window.room?.position)
  return page
}
let tabs = []
for (let i = 0; i < 8; i++) tabs.push(await open())
equal((await connections()).length, 1, 'connections of eight tabs')
equal(new Set(await Promise.all(tabs.map((p) => p.evaluate(() => weir.userId + weir.connectionId)))).size, 1, 'who they are')

const expected = []
const all = async (what) => {
  for (const [i, p] of tabs.entries()) await until(`tab ${i}, ${what}`, async (seen) => JSON.stringify(seen(await p.evaluate(() => got))) === JSON.stringify(expected))
}
const say = async (data) => {
  expected.push(data)
  await publish({ channel: 'demo:tabs', data })
}
for (let i = 0; i < 5; i++) await say(i)
await all('what a backend publishes')
for (const i of [0, 3, 7]) {
  expected.push('of ' + i)
  await tabs[i].evaluate((i) => room.publish('of ' + i), i)
}
await all('what tabs publish')
await publish({ channel: 'demo:tabs', key: 'k', data: { n: 1 } })
for (const p of tabs) await p.waitForFunction(() => JSON.stringify(items()) === '[["k",{"n":1}]]')
equal(await tabs[5].evaluate(async () => (await room.history({ limit: 2 })).changes.length), 2, 'history in a tab')
equal(await tabs[5].evaluate(() => weir.command({ type: 'publish', channel: '.bad', data: 1 }).catch((e) => e.code)), 'bad_channel', 'an error in a tab')
// A tab that comes later has the items, and one of another user has a connection of its own.
const late = await open()
equal(await late.evaluate(() => items()), [['k', { n: 1 }]], 'the items in a later tab')
await late.close()
const stranger = await open('?other')
equal((await connections()).map((c) => c.user ?? c.userId).sort(), ['another', 'e2e'], 'connections of two users')
await stranger.close()
await until('the connection of the other user ends', async (seen) => seen(await connections()).length === 1)

// The tab that has the connection goes, while much is published: the others miss nothing and get nothing twice.
let [{ connectionId: before }] = await connections()
const anew = (what) => until(what, async (seen) => { // another one than that of the tab that went, which the relay may still count
  const [one, ...others] = seen(await connections())
  if (!one || others.length > 0 || one.connectionId === before) return false
  before = one.connectionId
  return true
})
for (let round = 0; round < 3; round++) {
  for (let i = 0; i < 5; i++) await say(`before ${round}.${i}`)
  const [first, ...rest] = tabs
  tabs = rest
  const closing = round === 1 ? first.evaluate(() => weir.close()).then(() => first.close()) : first.close()
  for (let i = 0; i < 20; i++) await say(`meanwhile ${round}.${i}`)
  await closing
  await all(`after tab ${round} went`)
  await anew(`there is one connection, a new one, after tab ${round} went`)
}
// The connection breaks off: all of them come back, and see it.
way.cut()
for (let i = 0; i < 5; i++) await say(`apart ${i}`)
await all('after the connection broke')
await anew('there is one connection in the end, a new one')
for (const p of tabs) equal(await p.evaluate(() => errors), [], 'errors')
// What is told in a tab that is not heard by another: its own subscriptions.
await tabs[0].evaluate(() => { window.own = []; weir.channel('demo:own').on('change', ({ data }) => own.push(data)) })
await tabs[0].waitForFunction(() => weir.channel('demo:own').position)
await publish({ channel: 'demo:own', data: 'mine' })
await tabs[0].waitForFunction(() => own.length === 1)
await all('what another channel has')
await browser.close()
console.log('ok')
process.exit(0)
