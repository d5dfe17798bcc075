// React 19 (in StrictMode) and Vue 3 in Chromium, on weir-client/react and weir-client/vue: a hundred components of one channel
// are one subscription and never show two values, what is set shows at once and is undone when refused, a channel's name changes,
// a token expires, and what is unmounted is released.
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'
import { base, publish, equal } from './lib.mjs'

const { E2E_CHROMIUM: executablePath = '/usr/bin/chromium', E2E_BINARY } = process.env
const client = join(import.meta.dirname, '../../../../relay/web/client')
const { build } = await import(pathToFileURL(createRequire(join(client, 'package.json')).resolve('esbuild')))

const apps = {
  react: `
    import { StrictMode, createElement as h, startTransition, useState } from 'react'
    import { createRoot } from 'react-dom/client'
    import { WeirProvider, useChange, useChannel, useDocument, useItem, usePresence, useStatus } from './npm/react.js'
    const Cell = () => h('i', null, String(useItem(window.room1, 'items', 'k')[0] ?? ''))
    const Cells = ({ name }) => (window.room1 = name, [...Array(100).keys()].map((i) => h(Cell, { key: i })))
    function Main({ name }) {
      const room = useChannel(name)
      const [mine, set] = useItem(name, 'items', 'mine')
      const doc = useDocument('frameworks-react')
      const users = usePresence(name)
      const status = useStatus()
      useChange(name, (c) => c.op === 'send' && window.events.push(c.data))
      Object.assign(window, { set, room, edit: doc.edit })
      return h('section', null, h('b', null, mine ?? ''), h('u', null, users.map((u) => u.id).join()), h('s', null, doc.text), h('em', null, status), h('q', null, String(room.ready)),
        h('input', { value: mine ?? '', onChange: (e) => void set(e.target.value).catch(() => {}) }))
    }
    function App() {
      const [name, setName] = useState('demo:frameworks-react')
      const [shown, show] = useState(true)
      Object.assign(window, { setName: (n) => startTransition(() => setName(n)), show })
      return shown && [h(Cells, { key: 'c', name }), h(Main, { key: 'm', name })]
    }
    export const mount = (weir) => createRoot(document.body).render(h(StrictMode, null, h(WeirProvider, { client: weir }, h(App))))`,
  vue: `
    import { createApp, defineComponent, h, ref } from 'vue'
    import { weirPlugin, useChange, useChannel, useDocument, useItem, usePresence, useStatus } from './npm/vue.js'
    const Cell = defineComponent({ props: ['name'], setup(p) {
      const { item } = useItem(() => p.name, 'items', 'k')
      return () => h('i', String(item.value ?? ''))
    } })
    const Main = defineComponent({ props: ['name'], setup(p) {
      const { channel } = useChannel(() => p.name)
      const { item, set } = useItem(() => p.name, 'items', 'mine')
      const { document: doc, edit } = useDocument('frameworks-vue')
      const users = usePresence(() => p.name), status = useStatus()
      useChange(() => p.name, (c) => c.op === 'send' && window.events.push(c.data))
      Object.assign(window, { set, edit })
      return () => h('section', [h('b', item.value ?? ''), h('u', users.value.map((u) => u.id).join()), h('s', doc.value.text), h('em', status.value), h('q', String(channel.value.ready)),
        h('input', { value: item.value ?? '', onInput: (e) => void set(e.target.value).catch(() => {}) })])
    } })
    const App = defineComponent({ setup() {
      const name = ref('demo:frameworks-vue'), shown = ref(true)
      Object.assign(window, { setName: (n) => (name.value = n), show: (s) => (shown.value = s) })
      return () => shown.value ? [...Array(100).keys()].map((i) => h(Cell, { key: i, name: name.value })).concat(h(Main, { key: 'm', name: name.value })) : []
    } })
    export const mount = (weir) => createApp(App).use(weirPlugin, weir).mount(document.body)`,
}
const page = (app) => `${app}
  import { connect } from './dist/weir.js'
  window.events = []
  window.follows = [] // of each subscribe and unsubscribe, by command or by address
  window.commands = []
  class Socket extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols)
      for (const channel of new URL(url).searchParams.getAll('channel')) follows.push('subscribe ' + channel)
    }
    send(text) {
      const m = JSON.parse(text)
      commands.push(m.type)
      if (/scribe/.test(m.type)) follows.push(m.type + ' ' + m.channel)
      super.send(text)
    }
  }
  window.weir = connect(location.origin, { WebSocket: Socket, token: async () => (await fetch('/frameworks/token')).text() })
  window.torn = 0
  const check = () => {
    if (new Set([...document.querySelectorAll('i')].map((i) => i.textContent)).size > 1) torn++
    requestAnimationFrame(check)
  }
  check()
  mount(weir)`

const mint = (ttl) => execFileSync(E2E_BINARY, ['token', '--dev', '--sub', 'ann', '--ttl', ttl, '--channel', '*:subscribe,publish,history,presence'], { encoding: 'utf8' }).trim()
// What this test serves itself counts as a page from the network, which may not connect to this machine.
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets'] })
const troubles = []
for (const [name, app] of Object.entries(apps)) {
  const { outputFiles } = await build({
    stdin: { contents: page(app), resolveDir: client, loader: 'js' }, bundle: true, format: 'esm', write: false, logLevel: 'error', external: ['./weir-documents.js', './weir.js'],
    define: { 'process.env.NODE_ENV': '"development"', __VUE_OPTIONS_API__: 'true', __VUE_PROD_DEVTOOLS__: 'false', __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false' },
  })
  const context = await browser.newContext()
  let tokens = 0
  let expired = false
  await context.route('**/frameworks/page', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><body></body><script type="module" src="/frameworks.js"></script>' }))
  await context.route('**/frameworks.js', (route) => route.fulfill({ contentType: 'text/javascript', body: outputFiles[0].text }))
  await context.route('**/frameworks/token', (route) => route.fulfill({ body: mint(tokens++ ? '1h' : '10s') }))
  const p = await context.newPage()
  p.on('websocket', (ws) => ws.on('close', () => (expired = true)))
  p.on('pageerror', (e) => troubles.push(name + ': ' + e.message))
  p.on('console', (m) => m.type() === 'error' && !/404|favicon/.test(m.text()) && troubles.push(name + ': ' + m.text()))
  const until = (what, f, arg) => p.waitForFunction(f, arg, { timeout: 30_000 }).catch((e) => { throw new Error(`${name}: never ${what}: ${e.message}`) })
  const text = (selector, want) => until(`${selector} ${want}`, ([s, w]) => document.querySelector(s)?.textContent === w, [selector, want])
  const room = 'demo:frameworks-' + name
  await publish({ channel: room, key: 'k', data: 0 })
  await p.goto(base + '/frameworks/page')
  await text('q', 'true')
  await text('em', 'open')
  await until('all cells', () => [...document.querySelectorAll('i')].filter((i) => i.textContent === '0').length === 100)
  await text('u', 'ann')
  const count = (what) => p.evaluate((what) => follows.filter((f) => f === what).length, what)
  equal(await count('subscribe ' + room), 1, name + ': subscriptions of 104 components')
  equal(await count('unsubscribe ' + room), 0, name + ': nothing is given back while it mounts')

  // No cell shows another value than its neighbours, in any frame.
  for (let i = 1; i <= 50; i++) await publish({ channel: room, key: 'k', data: i })
  await until('the last value', () => [...document.querySelectorAll('i')].every((i) => i.textContent === '50'))
  equal(await p.evaluate(() => torn), 0, name + ': torn frames')
  await publish({ channel: room, data: 'hello' })
  await until('an event', () => events.length > 0)
  equal(await p.evaluate(() => events), ['hello'], name + ': events')

  // What is typed shows at once, wherever the caret is; what is refused is undone.
  await p.fill('input', 'ac')
  await p.locator('input').evaluate((el) => el.setSelectionRange(1, 1))
  await p.locator('input').press('b')
  equal(await p.locator('input').evaluate((el) => [el.value, el.selectionStart]), ['abc', 2], name + ': typed in the middle')
  await text('b', 'abc')
  const refused = await p.evaluate(async () => {
    const done = window.set('x'.repeat(200_000)).then(() => 'taken', (err) => err.code)
    await Promise.resolve()
    return done
  })
  equal(refused, 'too_large', name + ': a value that is refused')
  await text('b', 'abc')

  // The token expires after some seconds: another one takes its place, on the same connection unless the machine was too slow for that.
  for (const end = Date.now() + 60_000; tokens < 2; await new Promise((done) => setTimeout(done, 50))) if (Date.now() > end) throw new Error(name + ': no second token')
  if (!expired) {
    await until('a refresh', () => commands.includes('refresh'))
    equal(await count('subscribe ' + room), 1, name + ': subscriptions after a new token')
  }
  await publish({ channel: room, data: 'after' })
  await until('an event after it', () => events.at(-1) === 'after')
  equal(await p.evaluate(() => events), ['hello', 'after'], name + ': events, each once')

  // A document, written here and by the relay's own client.
  await until('the document', () => { window.edit([{ from: 0, to: document.querySelector('s').textContent.length, insert: 'shared' }]); return document.querySelector('s').textContent === 'shared' })

  // Another channel, then none.
  await publish({ channel: room + '2', key: 'k', data: 'two' })
  await p.evaluate((n) => setName(n), room + '2')
  await until('cells of the other channel', () => [...document.querySelectorAll('i')].every((i) => i.textContent === 'two'))
  await until('the first given back', (n) => follows.includes('unsubscribe ' + n), room)
  await p.evaluate(() => show(false))
  await until('the second given back', (n) => follows.includes('unsubscribe ' + n), room + '2')
  await p.evaluate(() => show(true))
  await until('it is back', () => document.querySelectorAll('i').length === 100 && [...document.querySelectorAll('i')].every((i) => i.textContent === 'two'))
  equal(await count('subscribe ' + room + '2'), 2, name + ': subscriptions to the other channel')
  equal(await p.evaluate(() => torn), 0, name + ': torn frames in the end')
  await context.close()
}
await browser.close()
equal(troubles, [], 'errors of the pages')
console.log('ok')
