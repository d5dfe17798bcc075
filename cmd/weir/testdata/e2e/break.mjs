// The page that breaks things, in Chromium: each button says what client and relay have made of it, and no number is missed or comes twice.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { base, equal } from './lib.mjs'

const { E2E_CHROMIUM: executablePath = '/usr/bin/chromium', E2E_SHOTS: shots } = process.env
if (shots) mkdirSync(shots, { recursive: true })
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
const context = await browser.newContext({ viewport: { width: 1200, height: 900 } })
const page = await context.newPage()
const troubles = []
page.on('pageerror', (err) => troubles.push(err.message))
await page.goto(base + '/demo/break?user=ada')
await page.waitForFunction(() => +document.querySelector('#last').textContent > 2, null, { timeout: 60_000 })
for (const [name, wants] of Object.entries({
  cut: [/The client saw its connection end/, /The relay resumed at position \d+ after .*: no gap/],
  expire: [/was sent away: .*\(4001\)/, /The relay resumed at position .*: no gap/],
  lag: [/gets everything 3 s later/, /has heard \d+ to \d+, in their order, late and none of them twice/, /The relay kept the connection/],
  slow: [/takes nothing any more/, /The relay let \d\.\d MB wait for it, gave up on it, and said why: .*\(4008\)/, /The relay resumed at position \d+ .*: no gap/],
  disk: [/has a disk that is full for 5 s/, /told the backend \d+ times .*: 503 storage\. .*, and the number was taken after/, /no number was missed, none came twice/],
  lose: [/lost: true/, /The relay forgot the channel and began another log/],
})) {
  await page.click('#' + name)
  await page.waitForSelector(`#${name} + ol[data-done]`, { timeout: 120_000 })
  const text = await page.textContent(`#${name} + ol`)
  for (const want of wants) if (!want.test(text)) throw new Error(`${name}: ${text}`)
}
await page.waitForFunction(() => document.querySelector('#gaps').textContent === 'none missed, none twice', null, { timeout: 60_000 })
if (shots) {
  await page.screenshot({ path: join(shots, 'break-1200.png') })
  await page.setViewportSize({ width: 400, height: 900 })
  await page.screenshot({ path: join(shots, 'break-400.png'), fullPage: true })
}
equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, 'it fits')
equal(troubles, [], 'errors of the page')
await browser.close()
console.log('ok')
