// A page in Chromium follows the hub with its own EventSource and the cookie of 0.x, which an app's backend has set: private updates
// come, another page's do not, and after a broken stream it goes on where it was.
import { createServer } from 'node:http'
import { chromium } from 'playwright-core'
import jwt from 'jsonwebtoken'
import { base, equal, road } from './lib.mjs'

const { E2E_CHROMIUM: executablePath = '/usr/bin/chromium' } = process.env
const hub = base + '/.well-known/mercure'
const sign = (claims) => jwt.sign({ mercure: claims }, '!ChangeThisMercureHubJWTSecretKey!', { noTimestamp: true })
const publish = async (fields) => {
  const r = await fetch(hub, { method: 'POST', headers: { authorization: 'Bearer ' + sign({ publish: ['*'] }) }, body: new URLSearchParams(fields) })
  equal(r.status, 200, 'publish')
  return r.text()
}
const way = await road(base)
const source = `<!doctype html><script>
  window.events = []; window.opened = 0
  const es = new EventSource('${way.origin}/.well-known/mercure?topic=' + encodeURIComponent('https://example.com/books/{id}'), { withCredentials: true })
  es.onopen = () => window.opened++
  for (const type of ['message', 'book']) es.addEventListener(type, (e) => window.events.push([e.type, e.data, e.lastEventId]))
</script>`
const app = createServer((request, response) => {
  if (request.url === '/ann') { // as Symfony does
    response.setHeader('set-cookie', 'mercureAuthorization=' + sign({ subscribe: ['https://example.com/books/{id}'], publish: [] }) + '; Path=/.well-known/mercure; HttpOnly; SameSite=Strict')
  }
  response.setHeader('content-type', 'text/html').end(source)
})
await new Promise((done) => app.listen(0, '127.0.0.1', done))
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
const open = async (path) => {
  const page = await (await browser.newContext()).newPage()
  await page.goto(`http://127.0.0.1:${app.address().port}${path}`)
  await page.waitForFunction(() => window.opened === 1)
  return page
}
const [ann, other] = [await open('/ann'), await open('/')]
const wait = (page, n) => page.waitForFunction((n) => window.events.length >= n, n).then(() => page.evaluate(() => window.events))
const secret = await publish({ topic: 'https://example.com/books/1', data: 'a\r\nb', private: 'on', type: 'book' })
const plain = await publish({ topic: 'https://example.com/books/2', data: 'public' })
equal(await wait(ann, 2), [['book', 'a\nb', secret], ['message', 'public', plain]], 'what the cookie lets it read')
equal(await wait(other, 1), [['message', 'public', plain]], 'what anybody reads')
// Every connection breaks off: EventSource comes back with the last id, and misses nothing.
if (way.cut() < 4) throw new Error('two connections, each of two sockets, were to break')
const missed = await publish({ topic: 'https://example.com/books/3', data: 'missed', private: 'on' })
equal((await wait(ann, 3))[2], ['message', 'missed', missed], 'what came meanwhile')
await ann.waitForFunction(() => window.opened > 1)
await browser.close()
app.close()
console.log('ok')
process.exit(0)
