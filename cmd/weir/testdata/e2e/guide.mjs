// Chromium runs the page of a guide: it signs in, orders, talks, and signs out. The arguments are the app's address and a user.
import { chromium } from 'playwright-core'

const [base, user] = process.argv.slice(2)
const browser = await chromium.launch({ executablePath: process.env.E2E_CHROMIUM ?? '/usr/bin/chromium', headless: true, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'] })
const page = await browser.newPage()
page.setDefaultTimeout(60000)
const troubles = []
page.on('pageerror', (err) => troubles.push(err.message))
try {
  await page.goto(base + '/login')
  await page.fill('input:not([type=hidden]):not([type=password])', user)
  await page.fill('input[type=password]', 'secret')
  await page.click('button')
  await page.waitForSelector('#orders li:has-text("book: good")') // what was ordered before
  await page.fill('form[action="/orders"] input:not([type=hidden])', 'lamp & <b>shade</b>')
  await page.click('form[action="/orders"] button')
  await page.waitForSelector('#orders li:has-text("lamp & <b>shade</b>: new")')
  await page.fill('#say input', 'good morning')
  await page.click('#say button')
  await page.waitForSelector('#room li:has-text(": good morning")')
  await page.click('form[action="/logout"] button')
  await page.waitForSelector('input[type=password]')
  if (troubles.length) throw new Error(troubles.join('\n'))
} finally {
  await browser.close()
}
