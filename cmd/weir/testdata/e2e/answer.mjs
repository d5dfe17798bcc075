// An answer that streams in token by token, in Chromium: the page is closed in the middle and opened on another device, which has the text so
// far and goes on. Another answer comes from a program, by way of weir pub --append. Each text is complete, with nothing in it twice.
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { base, equal } from './lib.mjs'

const { E2E_BINARY: binary, E2E_CHROMIUM: executablePath = '/usr/bin/chromium', E2E_SHOTS: shots } = process.env
if (shots) mkdirSync(shots, { recursive: true })
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
const troubles = []
const channel = 'demo:e2e'
const wide = { width: 1200, height: 900 }, phone = { width: 400, height: 800 }

async function open(viewport) {
  const page = await (await browser.newContext({ viewport })).newPage()
  page.on('pageerror', (err) => troubles.push(err.message))
  page.on('console', (m) => /Content Security Policy|Refused to/.test(m.text()) && troubles.push(m.text()))
  await page.goto(base + '/demo/answer?user=ada&thread=e2e')
  return page
}
const close = (page) => page.context().close()
const text = (page, id) => page.evaluate((id) => document.querySelector(`#answer-${id} p`)?.textContent ?? '', id)
const until = (page, id, points) => page.waitForFunction(([id, n]) => [...(document.querySelector(`#answer-${id} p`)?.textContent ?? '')].length >= n, [id, points], { timeout: 120_000 })
const size = (text) => [...text].length

/** What was appended to an item, piece by piece, as the log has it. */
async function pieces(id) {
  const r = await fetch(`${base}/v1/channels/${channel}/history?limit=1000&features=append`, { headers: { authorization: 'Bearer dev' } })
  return (await r.json()).changes.filter((c) => c.key === id && c.op === 'append').map((c) => c.data)
}
async function whole(id, want) {
  equal((await pieces(id)).join(''), want, 'the pieces in the log')
  const r = await fetch(`${base}/v1/channels/${channel}/answers/${id}`, { headers: { authorization: 'Bearer dev' } })
  equal((await r.json()).data, want, 'the item')
}
const shot = async (page, name) => {
  equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, name + ' fits')
  if (shots) await page.screenshot({ path: join(shots, name + '.png'), fullPage: true })
}

// A page asks, is closed in the middle, and another one goes on.
const first = await open(wide)
await first.click('#ask-0')
await first.waitForSelector('#answers li[data-state=speaking]')
const id = (await first.getAttribute('#answers li', 'id')).slice('answer-'.length)
const want = await first.evaluate(async () => (await import('/demo/answer.js')).script[0][1])
await until(first, id, 30)
await first.route('**/v1/publish', () => {}) // what it says from now on does not get out
const had = await text(first, id)
const second = await open(phone)
await until(second, id, size(had))
await close(first)
const between = await text(second, id)
if (size(between) >= size(want)) throw new Error('it was over before the page was closed')
if (!want.startsWith(between) || !between.startsWith(had)) throw new Error(`the second page begins with ${between}`)
await until(second, id, size(want))
equal(await text(second, id), want, 'the text')
await whole(id, want)

// A program speaks to a page that is closed in the middle; another one that is opened meanwhile, and one that comes late, have all of it.
const said = 'Grüße: “<b>” & naïve 👩‍🚀\n' + Array.from({ length: 60 }, (_, i) => `token ${i} 🌊`).join(', ') + '.\n'
const pub = spawn(binary, ['pub', channel, '--append', '--group', 'answers', '--key', 'program', '--offset', '0', '--url', base], { stdio: ['pipe', 'ignore', 'inherit'] })
const ended = new Promise((done) => pub.once('exit', done))
const bytes = Buffer.from(said)
const say = async (from, to) => { // as it comes: bytes, cut anywhere
  for (let at = from; at < to; at += 3) {
    pub.stdin.write(bytes.subarray(at, Math.min(at + 3, to)))
    await new Promise((done) => setTimeout(done, 5))
  }
}
const half = bytes.length >> 1
await say(0, half)
await until(second, 'program', 100)
const third = await open(wide)
await until(third, 'program', 100)
await close(second)
await say(half, bytes.length)
pub.stdin.end()
equal(await ended, 0, 'the exit of weir pub')
await until(third, 'program', size(said))
equal(await text(third, 'program'), said, 'what the program said')
await whole('program', said)
await shot(third, 'answer-1200')
const late = await open(phone)
await until(late, 'program', size(said))
equal([await text(late, id), await text(late, 'program')], [want, said], 'what one has who comes late')
await shot(late, 'answer-400')
equal(troubles, [], 'errors of the page')
await browser.close()
console.log('ok')
