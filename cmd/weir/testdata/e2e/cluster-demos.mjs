// The demos of chat, documents, feeds, notifications and analytics, each in two browsers on two nodes of a cluster. The node that one of them is on, and that
// owns all that they show, is killed while both are in use: nothing is missing, nothing is there twice, and both show the same.
import { browser, move, nodes, open, road, shot, troubles, until } from './cluster-nodes.mjs'
import { equal } from './lib.mjs'

const [dies, stays, other] = nodes
const ways = await Promise.all([dies, stays].map(road))
const pair = (path, ...users) => Promise.all(ways.map(({ base }, i) => open(`${base}/demo/${path}${path.includes('?') ? '&' : '?'}user=${users[i]}`)))
const live = (page) => page.waitForSelector('#status[data-state=open]')
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

/** Posts as a backend does, to any node that is there, until one has taken it. */
async function backend(path, body) {
  for (let n = 0; ; n++) {
    const { port } = [stays, other][n % 2]
    const r = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers: { authorization: 'Bearer dev', 'content-type': 'application/json' }, body: JSON.stringify(body) }).catch(() => ({}))
    if (r.ok) return
    if (r.status && r.status < 500) throw new Error(`${path}: ${r.status} ${await r.text()}`)
    await sleep(100)
  }
}

/** What a page does not show of what a backend was told is sent, and what other pages say and nodes have of it. */
async function missing(page, sent, shown) {
  const asked = await Promise.all([stays, other].map(async ({ name, port }) => {
    const { token } = await (await fetch(`http://127.0.0.1:${port}/demo/token?user=ada`, { headers: { authorization: 'Bearer dev' } })).json()
    const r = await fetch(`http://127.0.0.1:${port}/notifications`, { headers: { authorization: 'Bearer ' + token } })
    return [name, r.status, (await r.json()).notifications?.map(({ id }) => id)]
  }))
  return JSON.stringify({ page: page.url(), status: await page.textContent('#status'), missing: sent.filter((x) => !shown.includes(x)), asked })
}

// ---- before ----

const [ada] = await Promise.all([open(ways[0].base + '/demo/chat?user=ada')])
await ada.waitForSelector('#title:not(:empty)')
const room = new URL(ada.url()).hash
const grace = await open(ways[1].base + '/demo/chat?user=grace' + room)
await grace.waitForSelector('#title:not(:empty)')
const chat = [ada, grace]
const papers = await pair('document?doc=e2e', 'ada', 'grace')
const feeds = await pair('feed', 'ada', 'ada')
const inboxes = await pair('notify', 'ada', 'ada')
const walls = await pair('wall', 'ada', 'grace')
const pages = [...chat, ...papers, ...feeds, ...inboxes, ...walls]
await Promise.all(pages.map(live))
for (const key of ['room:' + room.slice(1), 'document:e2e', 'user:ada', 'analytics:state']) await move(key, dies)
await Promise.all(pages.map(live))

// ---- all are in use while the node is killed ----

const said = [], items = [], notices = [], typed = [[], []]
async function use(n) {
  for (const [i, page] of chat.entries()) {
    said.push(`${['ada', 'grace'][i]} ${n}`)
    await page.fill('#text', said.at(-1))
    await page.press('#text', 'Enter')
  }
  for (const [i, page] of papers.entries()) {
    const mark = String.fromCodePoint((i ? 0x4e00 : 0x5e00) + n)
    typed[i].push(mark)
    await page.evaluate(([mark, end]) => {
      const at = document.getElementById('text')
      at.setRangeText(mark, end ? at.value.length : 0, end ? at.value.length : 0, 'end')
      at.dispatchEvent(new Event('input'))
    }, [mark, i])
  }
  items.push('item-' + n)
  notices.push('Notice ' + n)
}
await until('both can type', async () => (await Promise.all(papers.map((page) => page.isEditable('#text')))).every(Boolean))
const work = []
for (let n = 0; n < 20; n++) {
  if (n === 8) {
    dies.process.kill('SIGKILL')
    ways[0].to = other
  }
  await use(n)
  work.push(backend('/v1/feed/ada', { type: 'post', id: items.at(-1), data: { text: items.at(-1), author: 'e2e', at: n } }),
    backend('/v1/notify', { userId: 'ada', id: 'notice-' + n, title: notices.at(-1) }))
  await sleep(150)
}
await Promise.all(work)

// ---- after ----

await Promise.all(pages.map(live))
for (const page of chat) {
  const texts = () => page.$$eval('#messages .text', (all) => all.map((e) => e.textContent))
  await until('all messages are shown', async () => (await texts()).length >= said.length && !(await page.$('.pending')),
    async () => JSON.stringify({ page: page.url(), said: said.length, shown: await texts(), pending: await page.$$eval('.pending', (all) => all.map((e) => e.textContent)) }))
  equal((await texts()).sort(), [...said].sort(), 'messages, each once')
  equal(await texts(), await chat[0].$$eval('#messages .text', (all) => all.map((e) => e.textContent)), 'the order of messages')
}
const text = (page) => page.inputValue('#text')
await until('both have the same text', async () => (await Promise.all(papers.map((page) => page.textContent('#saved')))).every((saved) => saved === 'saved') && (await text(papers[0])) === (await text(papers[1])))
equal([...(await text(papers[0]))].sort(), typed.flat().sort(), 'what was typed, each once')
for (const page of feeds) {
  const ids = () => page.$$eval('#feed li', (all) => all.map((li) => li.dataset.id))
  await until('all items are there', async () => (await ids()).length >= items.length, async () => missing(page, items, await ids()))
  equal((await ids()).sort(), [...items].sort(), 'items, each once')
}
for (const page of inboxes) {
  const titles = () => page.$$eval('#list b', (all) => all.map((e) => e.textContent))
  await until('all notifications are there', async () => (await titles()).length >= notices.length, async () => missing(page, notices, await titles()))
  equal((await titles()).sort(), [...notices].sort(), 'notifications, each once')
}
await inboxes[0].click('#list li.unread button')
await until('read there is read here', async () => (await inboxes[1].$$('#list li.unread')).length === notices.length - 1)
await walls[0].click('#burst')
await Promise.all(walls.map((page) => until('both count the hundred', () => page.evaluate(() => document.querySelector('[data-metric="user.action"] output').textContent === '100'))))
for (const [page, name] of [[chat[0], 'chat'], [papers[0], 'document'], [feeds[0], 'feed'], [inboxes[0], 'notify'], [walls[0], 'wall']]) await shot(page, name)
equal(troubles, [], 'errors of the pages')
await browser.close()
console.log('ok')
process.exit()
