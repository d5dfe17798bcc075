// The clients for browsers and React, as they are, in Chromium: bundled by esbuild and served beside the relay.
import { createServer } from 'node:http'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'
import { url, token, start, stop, same } from './relay.mjs'
import { Groups } from '../../../../docs/examples/motia/weir-streams.mjs'

const source = `
import React from 'react'
import { createRoot } from 'react-dom/client'
import { Stream } from '@motiadev/stream-client-browser'
import { MotiaStreamProvider, useStreamGroup, useStreamItem, useStreamEventHandler } from '@motiadev/stream-client-react'
const { address, protocols } = window.settings
const stream = new Stream(address, { protocols })
const plain = stream.subscribeGroup('chat', 'room:1')
plain.addChangeListener((list) => { document.getElementById('plain').textContent = JSON.stringify(list) })
function Room() {
  const [said, say] = React.useState('')
  const { data: list, event } = useStreamGroup({ streamName: 'chat', groupId: 'room:1' })
  const { data: item } = useStreamItem({ streamName: 'chat', groupId: 'room:1', id: 'a' })
  useStreamEventHandler({ event, type: 'typing', listener: say }, [])
  return React.createElement('p', { id: 'react' }, JSON.stringify([list, item ?? null, said]))
}
createRoot(document.getElementById('root')).render(React.createElement(MotiaStreamProvider, { address, protocols }, React.createElement(Room)))
`
const { outputFiles } = await build({ stdin: { contents: source, resolveDir: process.cwd(), loader: 'js' }, bundle: true, write: false, format: 'iife', define: { 'process.env.NODE_ENV': '"production"' } })
const settings = JSON.stringify({ address: url.replace('http', 'ws') + '/motia', protocols: ['Authorization', token] })
const html = `<!doctype html><p id="plain"></p><div id="root"></div><script>window.settings = ${settings}</script><script>${outputFiles[0].text.replaceAll('</script', '<\\/script')}</script>`
const pages = createServer((_, response) => response.setHeader('content-type', 'text/html; charset=utf-8').end(html))
await new Promise((done) => pages.listen(0, '127.0.0.1', done))
const origin = process.env.WEIR_ORIGINS = `http://127.0.0.1:${pages.address().port}`
await start()

const chat = new Groups('chat', { url, key: 'dev' })
await chat.set('room:1', 'a', { n: 1 })
const browser = await chromium.launch({ executablePath: process.env.E2E_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
const page = await browser.newPage()
page.on('pageerror', (e) => console.error(e))
await page.goto(origin)
const shown = async (id) => JSON.parse((await page.textContent('#' + id)) || 'null')
await same('the plain page', () => shown('plain'), [{ n: 1, id: 'a' }])
await same('the React page', () => shown('react'), [[{ n: 1, id: 'a' }], { n: 1, id: 'a' }, ''])
await chat.set('room:1', 'b', { n: 2 })
await chat.set('room:1', 'a', { n: 3 })
await chat.send({ groupId: 'room:1' }, { type: 'typing', data: 'ann' })
await same('the plain page', () => shown('plain'), [{ n: 3, id: 'a' }, { n: 2, id: 'b' }])
await same('the React page', async () => (await shown('react')).slice(0, 2), [[{ n: 3, id: 'a' }, { n: 2, id: 'b' }], { n: 3, id: 'a' }])
await chat.delete('room:1', 'a')
await same('the plain page', () => shown('plain'), [{ n: 2, id: 'b' }])
await same('the React page', async () => (await shown('react')).slice(0, 2), [[{ n: 2, id: 'b' }], null])
// The relay starts again: both come back by themselves.
await stop()
await start()
await chat.set('room:1', 'c', { n: 4 })
await same('the plain page', () => shown('plain'), [{ n: 4, id: 'c' }])
await same('the React page', async () => (await shown('react')).slice(0, 2), [[{ n: 4, id: 'c' }], null])
await browser.close()
await stop()
console.log('ok')
process.exit(0)
