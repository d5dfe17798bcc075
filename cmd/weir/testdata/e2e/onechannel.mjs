// A page of an app with a login, in Chromium: weir.js, EventSource and pusher-js follow one channel of one relay, which asks the app who
// its cookie is. Each hears what a backend publishes natively, what it triggers as for Pusher, and what the others say.
import { createHmac, createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { chromium } from 'playwright-core'
import { equal } from './lib.mjs'

const { E2E_CHROMIUM: executablePath = '/usr/bin/chromium', E2E_URL: base, E2E_APP: listen, E2E_API_KEY: apiKey, E2E_KEY: key, E2E_SECRET: secret } = process.env
const pusher = readFileSync(new URL('../pusher/node_modules/pusher-js/dist/web/pusher.js', import.meta.url))
const relay = base.replace('127.0.0.1', 'localhost')
const page = `<!doctype html><script src="/pusher.js"></script><script type="module">
  import { connect } from '${relay}/weir.js'
  window.heard = { weir: [], stream: [], pusher: [] }
  window.weir = connect('${relay}')
  window.room = weir.channel('pusher:room')
  room.on('change', (c) => heard.weir.push(c.data))
  window.stream = new EventSource('${relay}/sse?channel=pusher:room', { withCredentials: true })
  stream.addEventListener('channel_update', ({ data }) => heard.stream.push(JSON.parse(data).data))
  window.app = new Pusher('${key}', { wsHost: 'localhost', wsPort: ${new URL(relay).port}, forceTLS: false, enabledTransports: ['ws'], cluster: 'x', disableStats: true })
  window.bound = app.subscribe('room')
  bound.bind_global((event, data) => event.startsWith('pusher:') || heard.pusher.push({ event, data }))
</script>`

const asked = []
const app = createServer(async (request, response) => {
  let body = ''
  for await (const part of request) body += part
  const session = /session=(\w+)/.exec(request.headers.cookie ?? '')?.[1]
  if (request.url === '/weir/connect') {
    asked.push(session)
    return session === 'anns' ? response.setHeader('content-type', 'application/json').end(JSON.stringify({ user: { id: 7 }, channels: { 'pusher:*': ['subscribe'] } })) : response.writeHead(401).end()
  }
  if (request.url === '/pusher.js') return response.setHeader('content-type', 'text/javascript').end(pusher)
  if (request.url === '/login') response.setHeader('set-cookie', 'session=anns; Path=/; HttpOnly; SameSite=Lax')
  response.setHeader('content-type', 'text/html').end(page)
})
await new Promise((done) => app.listen(listen.split(':')[1], 'localhost', done))

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
const tab = await (await browser.newContext()).newPage()
tab.on('pageerror', (e) => console.error(e))
await tab.goto(`http://localhost:${listen.split(':')[1]}/login`)
await tab.waitForFunction(() => window.room?.position && window.stream.readyState === 1 && window.bound.subscribed)

const native = async (fields) => {
  const r = await fetch(base + '/v1/publish', { method: 'POST', headers: { authorization: 'Bearer ' + apiKey, 'content-type': 'application/json' }, body: JSON.stringify(fields) })
  equal(r.status, 200, 'publish')
}
const trigger = async (name, data) => {
  const body = JSON.stringify({ name, channels: ['room'], data: JSON.stringify(data) })
  const query = `auth_key=${key}&auth_timestamp=${Math.floor(Date.now() / 1000)}&auth_version=1.0&body_md5=${createHash('md5').update(body).digest('hex')}`
  const signature = createHmac('sha256', secret).update(`POST\n/apps/1/events\n${query}`).digest('hex')
  const r = await fetch(`${base}/apps/1/events?${query}&auth_signature=${signature}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  equal(r.status, 200, 'trigger')
}
const all = (n) => tab.waitForFunction((n) => Object.values(heard).every((list) => list.length === n), n) // one by one: a window joins what comes together
await native({ channel: 'pusher:room', data: { event: 'hello', data: { n: 1 } } })
await all(1)
await trigger('price', { n: 2 }) // as a string, as the SDKs do, which pusher-js decodes
await all(2)
await native({ channel: 'pusher:room', data: 'plain' })
await all(3)
const told = [{ event: 'hello', data: { n: 1 } }, { event: 'price', data: '{"n":2}' }, 'plain']
equal(await tab.evaluate(() => heard), {
  weir: told,
  stream: told,
  pusher: [told[0], { event: 'price', data: { n: 2 } }, { event: 'message', data: 'plain' }],
}, 'what they heard')
equal(asked.every((s) => s === 'anns') && asked.length > 0, true, 'whom the app was asked about: ' + asked)
equal(await tab.evaluate(() => weir.userId), '7', 'who the page is')
await browser.close()
console.log('ok')
process.exit(0)
