// Chromium runs every demo in two contexts at once and the dashboard under load, while the server is killed and
// started again under them: nothing is missing afterwards, and nothing is there twice. It reads the reports of load tests.
//
// E2E_BINARY, E2E_LISTEN and E2E_ADMIN say what to start and where; E2E_BASE is the address that pages are asked
// for, which may be a proxy's in front; E2E_SHOTS is where screenshots go.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { equal } from './lib.mjs'

const { E2E_BINARY: binary, E2E_LISTEN: listen, E2E_ADMIN: admin, E2E_BASE: base = 'http://' + listen, E2E_SHOTS: shots, E2E_CHROMIUM: executablePath = '/usr/bin/chromium' } = process.env
const data = mkdtempSync(join(tmpdir(), 'weir-browser-'))
if (shots) mkdirSync(shots, { recursive: true })

// ---- the server ----

let server
async function start() {
  server = spawn(binary, ['serve', '--dev', '--data', data, '--listen', listen, '--admin', admin], { stdio: ['ignore', 'ignore', 'pipe'] })
  server.log = ''
  server.stderr.on('data', (d) => (server.log = (server.log + d).slice(-4000)))
  await until('the server is ready', async () => (await fetch(`http://${admin}/readyz`).catch(() => ({}))).ok)
}
function kill() {
  return new Promise((gone) => {
    server.once('exit', gone)
    server.kill('SIGKILL')
  })
}
const backend = async (path, body) => {
  for (;;) { // as a backend does whose relay is away for a moment; ids keep it from happening twice
    const r = await fetch(`http://${listen}${path}`, { method: 'POST', headers: { authorization: 'Bearer dev', 'content-type': 'application/json' }, body: JSON.stringify(body) }).catch(() => ({}))
    if (r.ok) return
    await new Promise((done) => setTimeout(done, 100))
  }
}

async function until(what, ok, ms = 20000) {
  for (const end = Date.now() + ms; ; ) {
    const got = await ok()
    if (got) return got
    if (Date.now() > end) throw new Error('still not so: ' + what)
    await new Promise((done) => setTimeout(done, 50))
  }
}

// ---- the browser ----

const browser = await chromium.launch({
  executablePath, headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
const troubles = []
const left = new Set() // processes that have to be ended, or this one would not
async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options })
  const page = await context.newPage()
  page.on('pageerror', (err) => troubles.push(`${url}: ${err.message}`))
  page.on('console', (m) => /Content Security Policy|Refused to/.test(m.text()) && troubles.push(`${url}: ${m.text()}`))
  await page.goto(url)
  return page
}
const live = (page) => page.waitForSelector('#status[data-state=open]')
const pair = async (path, a = 'ada', b = 'grace') => {
  const at = (user) => base + path + (path.includes('?') ? '&' : '?') + 'user=' + user
  const pages = [await open(at(a)), await open(at(b), { colorScheme: 'dark' })]
  await Promise.all(pages.map(live))
  return pages
}
const shot = async (page, name) => {
  if (shots) await page.screenshot({ path: join(shots, name + '.png') })
}
const close = (pages) => Promise.all(pages.map((p) => p.context().close()))

// ---- the demos ----

const demos = {
  async chat() {
    const [a] = await Promise.all([open(base + '/demo/chat?user=ada')])
    await a.waitForSelector('#title:not(:empty)')
    const room = new URL(a.url()).hash
    const b = await open(base + '/demo/chat?user=grace' + room, { colorScheme: 'dark' })
    await b.waitForSelector('#title:not(:empty)')
    await until('both are here', async () => (await a.textContent('#people')).includes('2 here'))
    const say = async (page, text) => {
      await page.fill('#text', text)
      await page.press('#text', 'Enter')
    }
    const want = []
    for (let i = 0; i < 12; i++) {
      if (i === 5) await kill()
      const text = `message ${i}`
      await say(i % 2 ? a : b, text)
      want.push(text)
      if (i === 8) await start()
    }
    for (const p of [a, b]) {
      await until('all messages are shown', async () => (await p.$$eval('#messages .text', (all) => all.length)) >= want.length && !(await p.$('.pending')))
      const got = await p.$$eval('#messages .text', (all) => all.map((e) => e.textContent))
      equal([...got].sort(), [...want].sort(), 'messages, each once')
    }
    const order = (p) => p.$$eval('#messages .text', (all) => all.map((e) => e.textContent))
    equal(await order(a), await order(b), 'the same order')
    for (const odd of [0, 1]) {
      const theirs = (list) => list.filter((text) => text.split(' ')[1] % 2 === odd)
      equal(theirs(await order(a)), theirs(want), 'in the order in which one typed them')
    }
    await b.fill('#text', '')
    await b.type('#text', 'hm')
    await until('typing is seen', async () => (await a.textContent('#typing')).includes('typing'))
    await a.click('#messages li:nth-child(2) .reactions button:nth-child(1)')
    await until('the reaction is seen', async () => (await b.textContent('#messages li:nth-child(2) .reactions')).includes('1'))
    await shot(a, 'chat')
    await shot(b, 'chat-dark')
    await close([a, b])
  },

  async document() {
    const [a, b] = await pair('/demo/document?doc=e2e')
    const text = (p) => p.inputValue('#text')
    await until('both can type', async () => (await a.isEditable('#text')) && (await b.isEditable('#text')))
    await a.click('#text')
    await a.keyboard.type('From Ada: 😅 and so on.\n')
    await until('Grace has it', async () => (await text(b)) === (await text(a)) && (await text(b)).length > 0)
    await b.click('#text')
    await b.keyboard.press('Control+End')
    await b.keyboard.type('From Grace: ')
    await until('the caret is painted', async () => (await a.$$('.ghost b')).length === 1)
    await shot(a, 'document')
    await kill()
    await a.click('#text')
    await a.keyboard.press('Control+Home')
    await Promise.all([a.keyboard.type('(typed while it was away) '), b.keyboard.type('so did I 👍')])
    await start()
    await until('both have all of it', async () => (await text(a)) === (await text(b)) && (await a.textContent('#saved')) === 'saved' && (await b.textContent('#saved')) === 'saved', 30000)
    equal(await text(a), '(typed while it was away) From Ada: 😅 and so on.\nFrom Grace: so did I 👍', 'the text')
    await shot(b, 'document-dark')
    await close([a, b])
  },

  async codemirror() {
    // The editor's own modules, and the client as it is served.
    const { build } = await import('../../../../relay/web/client/node_modules/esbuild/lib/main.js')
    const { outputFiles } = await build({
      stdin: { resolveDir: new URL('../../../../relay/web/client', import.meta.url).pathname, contents: `
        import * as view from '@codemirror/view'
        import { EditorState, Transaction } from '@codemirror/state'
        import { connect } from '/weir.js'
        import { openDocument, codemirror } from '/weir-documents.js'
        const user = new URLSearchParams(location.search).get('user')
        const token = async () => (await (await fetch('/demo/token?name=X&user=' + user)).json()).token
        const doc = (window.doc = openDocument(connect(location.origin, { token }), 'cm'))
        window.editor = new view.EditorView({ parent: document.body, extensions: [EditorState.lineSeparator.of('\\n'), codemirror(doc, { ...view, Transaction })] })` },
      bundle: true, format: 'esm', external: ['/weir.js', '/weir-documents.js'], write: false,
    })
    const page = async (user) => {
      const p = await (await browser.newContext()).newPage()
      p.on('pageerror', (err) => troubles.push('codemirror: ' + err.message))
      await p.route('**/cm.js', (r) => r.fulfill({ contentType: 'text/javascript', body: outputFiles[0].text }))
      await p.goto(base + '/weir-page.css?user=' + user) // a page of the relay's without a policy
      await p.evaluate(() => document.body.replaceChildren())
      await p.addScriptTag({ type: 'module', url: '/cm.js' })
      await p.waitForFunction(() => window.doc?.ready)
      return p
    }
    const [a, b] = [await page('ada'), await page('grace')]
    const text = (p) => p.evaluate(() => editor.state.doc.toString())
    await a.click('.cm-content')
    await a.keyboard.type('one 😅 two')
    await until('the other has it', async () => (await text(b)) === 'one 😅 two')
    await b.click('.cm-content')
    await b.keyboard.press('Control+Home')
    await Promise.all([b.keyboard.type('zero\n'), a.keyboard.type(' three 👍')])
    await until('both have both', async () => (await text(a)) === 'zero\none 😅 two three 👍' && (await text(b)) === (await text(a)))
    await until('a caret is shown', async () => (await a.$$('.weir-caret')).length === 1)
    await kill()
    await Promise.all([b.keyboard.type('B'), a.keyboard.type('A')])
    await start()
    await until('both have what was typed meanwhile', async () => (await text(a)) === 'zero\nBone 😅 two three 👍A' && (await text(b)) === (await text(a)), 30000)
    await close([a, b])
  },

  async feed() {
    const [a, b] = await pair('/demo/feed', 'ada', 'ada')
    const want = []
    for (let i = 0; i < 30; i++) {
      if (i === 10) {
        await kill()
        setTimeout(start, 300)
      }
      want.push('item-' + i)
      await backend('/v1/feed/ada', { type: 'post', id: 'item-' + i, data: { text: 'Item ' + i, author: 'e2e', at: i } })
    }
    for (const p of [a, b]) {
      const ids = () => p.$$eval('#feed li', (all) => all.map((li) => li.dataset.id).reverse())
      await until('all items are there', async () => (await ids()).length >= want.length)
      equal(await ids(), want, 'items, each once and in order')
    }
    await shot(a, 'feed')
    await close([a, b])
  },

  async notify() {
    const [a, b] = await pair('/demo/notify', 'ada', 'ada')
    await a.fill('#title', 'First')
    await a.press('#title', 'Enter')
    await until('both have it', async () => (await a.$('#list li')) && (await b.$('#list li')))
    await kill()
    await start()
    await Promise.all([live(a), live(b)])
    await backend('/v1/notify', { userId: 'ada', title: 'Second', body: 'after the restart' })
    for (const p of [a, b]) {
      await until('both notifications are there', async () => (await p.$$('#list li')).length === 2)
      equal((await p.$$eval('#list b', (all) => all.map((e) => e.textContent))).sort(), ['First', 'Second'], 'notifications, each once')
    }
    await a.click('#list li:first-child button')
    await until('read there is read here', async () => (await b.$$('#list li.unread')).length === 1)
    // The service worker shows what is pushed to it. There is no push service here, so the browser is told to have one.
    await a.context().grantPermissions(['notifications'], { origin: new URL(base).origin })
    const shown = await a.evaluate(async () => {
      await navigator.serviceWorker.register('/demo/sw.js')
      return (await navigator.serviceWorker.ready).scope
    })
    const cdp = await a.context().newCDPSession(a)
    const found = new Promise((done) => cdp.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => registrations.forEach((x) => x.scopeURL === shown && done(x.registrationId))))
    await cdp.send('ServiceWorker.enable')
    const push = { origin: new URL(base).origin, registrationId: await found, data: JSON.stringify({ id: 'n1', title: 'Pushed', body: 'by the browser' }) }
    const pushed = () => a.evaluate(async () => (await (await navigator.serviceWorker.ready).getNotifications()).filter((n) => n.title === 'Pushed').length)
    await until('the push is shown', async () => { // again, since the browser drops what comes while the worker starts; the id makes it one
      await cdp.send('ServiceWorker.deliverPushMessage', push)
      for (let i = 0; i < 20; i++) {
        if (await pushed()) return true
        await new Promise((done) => setTimeout(done, 50))
      }
    })
    equal(await pushed(), 1, 'notifications of one push')
    await shot(b, 'notify-dark')
    await close([a, b])
  },

  async wall() {
    const [a, b] = await pair('/demo/wall')
    const value = (p, metric) => p.textContent(`[data-metric="${metric}"] output`)
    await until('connections are counted', async () => +(await value(a, 'weir.connections')) >= 2)
    await kill()
    await start()
    await Promise.all([live(a), live(b)])
    await until('they are again', async () => +(await value(a, 'weir.connections')) >= 2 && +(await value(b, 'weir.connections')) >= 2)
    await a.click('#burst')
    await until('both see the hundred', async () => (await value(b, 'user.action')) === '100' || (await b.evaluate(() => 0)), 5000)
    await shot(a, 'wall')
    await close([a, b])
  },

  async dashboard() {
    const url = `http://${admin}/`
    const bench = spawn(binary, ['bench', 'fanout', '--url', 'http://' + listen, '--subscribers', '100', '--duration', '10m'], { stdio: 'ignore' }) // ended below, or with all that is left
    left.add(bench)
    const pages = [await open(url, { viewport: { width: 1360, height: 1000 } }), await open(url, { colorScheme: 'dark', viewport: { width: 400, height: 900 } })]
    await Promise.all(pages.map(live))
    const tile = (p, n) => p.textContent(`#tiles div:nth-child(${n}) output`)
    for (const p of pages) await until('the load is shown', async () => parseFloat(await tile(p, 1)) >= 100 && /K/.test(await tile(p, 3)))
    await until('the busiest channel is named', () => pages[0].$('#channels button'))
    await new Promise((done) => setTimeout(done, 3000)) // a few seconds of it, for whoever looks at the picture
    // The plots are smooth: frames come, though every second brings new figures; the best of some seconds, since others use the processor, too. A browser that gets no time makes none.
    await until('15 frames come in a second', () => pages[0].evaluate(() => new Promise((done) => {
      let n = 0
      const end = performance.now() + 1000
      const frame = () => (performance.now() < end ? (n++, requestAnimationFrame(frame)) : done(n >= 15))
      requestAnimationFrame(frame)
      setTimeout(() => done(false), 3000)
    })), 120_000)
    await shot(pages[0], 'dashboard')
    await shot(pages[1], 'dashboard-dark-400')
    const wide = await pages[1].evaluate(() => document.documentElement.scrollWidth)
    if (wide > 400) throw new Error(`${wide} pixels wide at 400`)
    await pages[0].click('#channels button')
    await until('who follows is listed', async () => (await pages[0].$$('#followers tr')).length >= 100)
    await pages[0].fill('#data', '{"test": true}')
    await pages[0].press('#data', 'Enter')
    await until('the test message is published', async () => (await pages[0].textContent('#answer')).startsWith('change '))
    await pages[0].evaluate(() => (window.kicked = document.querySelector('#followers tr:first-child button')).click()) // which may not stay there: the list is read anew after a message
    await until('a session is disconnected', () => pages[0].evaluate(() => window.kicked.textContent === 'Gone'))
    await pages[0].click('#letters')
    await pages[0].waitForSelector('#webhooks :first-child')
    bench.kill()
    await kill()
    await pages[0].waitForSelector('#status[data-state=off]')
    await start()
    await Promise.all(pages.map(live))
    await close(pages)
  },

  // The dashboard's card about questions to a backend, which answers and then does not, wide and narrow.
  async hooks() {
    let down = false
    const app = createServer((req, res) => {
      const user = /session=(\w+)/.exec(req.headers.cookie ?? '')?.[1]
      if (down || req.url === '/weir/connect' && !user) return res.writeHead(down ? 500 : 401).end()
      res.end(JSON.stringify(req.url === '/weir/connect' ? { user: { id: user } } : { allow: true }))
    })
    await new Promise((done) => app.listen(0, '127.0.0.1', done))
    writeFileSync(join(data, 'hooks.yaml'), `hooks:
  {url: 'http://127.0.0.1:${app.address().port}/weir', allow_insecure: true, secrets: [whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD], cookies: [session]}
origins: ['http://app.example']
namespaces: {room: {subscribe: webhook, publish: webhook}}
`)
    const one = spawn(binary, ['serve', '--config', join(data, 'hooks.yaml'), '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'], { env: { ...process.env, WEIR_API_KEY: 'k'.repeat(40) }, stdio: ['ignore', 'ignore', 'pipe'] })
    try {
      one.log = ''
      one.stderr.on('data', (d) => (one.log += d))
      const ready = await until('the server is ready', () => one.log.split('\n').map((l) => l && JSON.parse(l)).find((l) => l.msg === 'ready'))
      const command = (user, body) => fetch(`http://${ready.listen}/command`, { method: 'POST', headers: { 'content-type': 'application/json', origin: 'http://app.example', ...(user && { cookie: 'session=' + user }) }, body: JSON.stringify(body) })
      for (let i = 0; i < 1200; i++) await command('u' + (i % 20), { type: 'history', channel: 'room:1' })
      for (let i = 0; i < 3; i++) await command('u1', { type: 'publish', channel: 'room:1', data: i })
      await command('', { type: 'ping' })
      down = true
      for (let i = 0; i < 9; i++) await command('x' + i, { type: 'ping' })
      for (const [name, options] of [['dashboard-hooks', { viewport: { width: 1360, height: 1000 } }], ['dashboard-hooks-dark-400', { colorScheme: 'dark', viewport: { width: 400, height: 900 } }]]) {
        const page = await open(`http://${ready.admin}/`, options)
        await page.waitForSelector('#hooks tr')
        const { connect, publish, over } = await page.evaluate(() => ({
          connect: [...document.querySelector('#hooks tr').cells].map((c) => c.textContent),
          publish: [...document.querySelectorAll('#hooks tr')[2].cells].map((c) => c.textContent),
          over: [...document.querySelectorAll('#hooked *')].filter((e) => e.getBoundingClientRect().right > innerWidth || e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map((e) => `${e.tagName} ${e.textContent}`),
        }))
        equal(connect.slice(0, 5), ['connect', 'open', '20', '1', '5'], 'the row of connect')
        equal(connect[5], '4', 'questions that were not asked')
        equal(publish.slice(0, 6), ['publish', 'closed', '3', '0', '0', '0'], 'the row of publish')
        equal(over, [], `${name}: what is wider than its place`)
        await page.waitForSelector('#hooks .bad')
        if (shots) await page.locator('#hooked').screenshot({ path: join(shots, name + '.png') })
        await close([page])
      }
    } finally {
      one.kill()
      app.close()
    }
  },

  // The dashboard says where a message is, and when it got how far.
  async where() {
    const id = '4bf92f3577b34da6a3ce929d0e0e4736'
    const collector = createServer((req, res) => req.resume().on('end', () => res.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()))
    await new Promise((done) => collector.listen(0, '127.0.0.1', done))
    const one = spawn(binary, ['serve', '--dev', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'], {
      env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.address().port}`, WEIR_TRACING_SAMPLE: '0' }, stdio: ['ignore', 'ignore', 'pipe'],
    })
    const following = new AbortController()
    try {
      one.log = ''
      one.stderr.on('data', (d) => (one.log += d))
      const ready = await until('the server is ready', () => one.log.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l)).find((l) => l.msg === 'ready'))
      const { token } = await (await fetch(`http://${ready.listen}/demo/token?user=ada&name=Ada`)).json()
      const follower = await fetch(`http://${ready.listen}/sse?channel=room:1`, { headers: { authorization: 'Bearer ' + token }, signal: following.signal })
      equal(follower.status, 200, 'a follower')
      const publish = (n, headers) => fetch(`http://${ready.listen}/v1/publish`, { method: 'POST', headers: { authorization: 'Bearer dev', 'content-type': 'application/json', ...headers }, body: JSON.stringify({ channel: 'room:1', data: { n } }) })
      await publish(1, { traceparent: `00-${id}-00f067aa0ba902b7-01` })
      await publish(2)
      await until('the last write is known', async () => JSON.stringify(await (await fetch(`http://${ready.admin}/trace?channel=room:1&seq=1`)).json()).includes('last write'))
      for (const [name, options] of [['dashboard-where-1360', { viewport: { width: 1360, height: 1000 } }], ['dashboard-where-dark-400', { colorScheme: 'dark', viewport: { width: 400, height: 900 } }]]) {
        const page = await open(`http://${ready.admin}/`, options)
        await page.fill('#name', 'room:1')
        await page.press('#name', 'Enter')
        await page.click('#log li:last-child button') // the newest stands first
        await page.waitForSelector('#steps li')
        equal(await page.$$eval('#steps li > span:first-child', (all) => all.map((e) => e.textContent)), ['accepted', 'left its window', 'frame', 'first write', 'last write'], 'the steps')
        equal(await page.textContent('#state'), 'Message 1 is in the log; written to all of 1 follower, as far as they were there.', 'where it is')
        equal((await page.textContent('#traced')).startsWith(`Trace ${id}, from `), true, 'the trace')
        const fits = async () => equal(await page.evaluate(() => [...document.querySelectorAll('#inspected *')].filter((e) => !e.closest('.scroll, .hidden') && (e.getBoundingClientRect().right > innerWidth || e.scrollWidth > e.clientWidth + 1 && e.clientWidth && e.tagName !== 'INPUT')).map((e) => `${e.tagName} ${e.textContent}`)), [], `${name}: what is wider than its place`)
        await fits()
        if (shots) await page.locator('[aria-label="Inspect a channel"]').screenshot({ path: join(shots, name + '.png') })
        // All took no time but the first step.
        await page.route('**/trace?*', async (route) => {
          const answer = await (await route.fetch()).json()
          for (const step of answer.trace.steps) step.ms = 5
          await route.fulfill({ json: answer })
        })
        await page.press('#seq', 'Enter')
        await until('the times are drawn', async () => (await page.$$eval('#steps output', (all) => all.map((e) => e.textContent).join())) === Array(5).fill('5.000 ms').join())
        await fits()
        await page.unroute('**/trace?*')
        await page.fill('#seq', '2')
        await page.press('#seq', 'Enter')
        await until('it was not traced', async () => (await page.textContent('#traced')).startsWith('It was not traced'))
        equal(await page.$$eval('#steps li', (all) => all.length), 0, 'steps of what was not traced')
        await page.fill('#seq', '9')
        await page.press('#seq', 'Enter')
        await until('it is not there', async () => (await page.textContent('#state')) === 'There is no message 9: the channel stands at 2.')
        await close([page])
      }
    } finally {
      following.abort()
      one.kill()
      collector.close()
    }
  },

  // The report of a load test, the comparison of two, and the report of a script with stages, on a narrow screen. Of a few
  // messages a second most intervals have none.
  async report() {
    const file = (name) => join(data, name)
    const bench = (...args) => {
      const { status, stderr } = spawnSync(binary, ['bench', ...args], { encoding: 'utf8' })
      if (status !== 0 && status !== 3) throw new Error(stderr) // 3: the machine was too busy for the figures to count
    }
    for (const [name, rate] of [['rare', 4], ['often', 200]]) {
      bench('run', 'fanout', '--url', 'http://' + listen, '--metrics', `http://${admin}/metrics`, '--subscribers', '5', '--channels', '1', '--rate', `${rate}`,
        '--warmup', '500ms', '--duration', '2s', '--out', file(name + '.run'), '--html', file(name + '.html'))
    }
    bench('compare', file('rare.run'), file('often.run'), '--html', file('both.html'))
    writeFileSync(file('users.yaml'), `name: users with a name that is rather long
channels: 4
subscribers: 20
stages: [{duration: 1s, rate: 4}, {duration: 1s, rate: 20, ramp: true}]
script:
  - connect
  - subscribe: 2
  - {publish: 1, name: say something to everybody in the room}
  - wait-for: {own: true}
  - {wait-for: {messages: 1000, timeout: 100ms}, name: wait for what does not come}
  - disconnect
`)
    bench('run', file('users.yaml'), '--url', 'http://' + listen, '--metrics', `http://${admin}/metrics`, '--html', file('users.html'))
    for (const name of ['rare', 'both', 'users']) for (const colorScheme of ['light', 'dark']) for (const width of [400, 1280]) {
      const page = await open('file://' + file(name + '.html'), { colorScheme, viewport: { width, height: 900 } })
      const { over, plots, words, breaks } = await page.evaluate(() => ({
        over: [...document.querySelectorAll('*')].filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth && e.className !== 'plot' || e.getBoundingClientRect().right > innerWidth)
          .map((e) => `${e.tagName} ${e.className} ${e.scrollWidth}`),
        plots: [...document.querySelectorAll('.plot svg')].map((e) => e.getBoundingClientRect()).map(({ width, height }) => [width, height]),
        words: [...document.querySelectorAll('.plot span')].map((e) => e.getBoundingClientRect().height),
        breaks: document.querySelector('.plot .dot')?.getAttribute('d').split('M').length - 1,
      }))
      equal(over, [], `${name} at ${width}: what is wider than its place`)
      if (plots.length !== 5 || plots.some(([w, h]) => w < 0.65 * Math.min(width, 560) || h < 150)) throw new Error(`${name} at ${width}: plots of ${plots.join(' and ')}`)
      if (words.some((h) => h < 10)) throw new Error(`${name} at ${width}: words ${Math.min(...words)} high`)
      if (name !== 'users' && !(breaks >= 3)) throw new Error(`${name} at ${width}: ${breaks} values alone among empty intervals`)
      if (shots) await page.screenshot({ path: join(shots, `report-${name}-${colorScheme}-${width}.png`), fullPage: true })
      await close([page])
    }
  },
}

try {
  await start()
  const only = process.env.E2E_ONLY?.split(',') ?? Object.keys(demos)
  for (const name of only) {
    const since = Date.now()
    await demos[name]().catch((err) => {
      throw new Error(`${name}: ${[err.message, ...troubles].join(' ')}`, { cause: err })
    })
    if (process.env.E2E_VERBOSE) console.error(name, Date.now() - since, 'ms')
  }
  if (troubles.length) throw new Error(troubles.join('\n'))
  console.log('ok')
} catch (err) {
  console.log(err.stack, '\n', server.log)
  process.exitCode = 1
} finally {
  for (const p of left) p.kill()
  await browser.close()
  await kill()
  rmSync(data, { recursive: true, force: true })
}
