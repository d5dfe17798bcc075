// Clients of the Mercure protocol that are not ours: the npm packages eventsource and @microsoft/fetch-event-source, a token
// by the package jsonwebtoken, and a publisher with Symfony's own PHP client.
import { execFileSync } from 'node:child_process'
import { EventSource } from 'eventsource'
import jwt from 'jsonwebtoken'
globalThis.window ??= Object.assign(globalThis, { document: { hidden: false, addEventListener() {}, removeEventListener() {} } })
import { base, Inbox, equal } from './lib.mjs'
const { fetchEventSource } = await import('@microsoft/fetch-event-source')

const hub = base + '/.well-known/mercure'
const key = '!ChangeThisMercureHubJWTSecretKey!'
const sign = (claims) => jwt.sign({ mercure: claims }, key, { noTimestamp: true })
const form = async (fields, headers = { authorization: 'Bearer ' + sign({ publish: ['*'] }) }) => {
  const r = await fetch(hub, { method: 'POST', headers, body: new URLSearchParams(fields) })
  equal(r.status, 200, 'publish')
  return r.text()
}
const php = (...args) => execFileSync('php', ['mercure.php', hub, key, ...args], { encoding: 'utf8' }).trim()

// EventSource: a template, an update of PHP's, line ends, names.
const inbox = new Inbox()
const es = new EventSource(hub + '?topic=' + encodeURIComponent('https://example.com/books/{id}'))
const take = (e) => inbox.push({ type: e.type, data: e.data, id: e.lastEventId })
for (const type of ['message', 'book']) es.addEventListener(type, take)
await new Promise((resolve) => es.addEventListener('open', resolve))
const id = php('https://example.com/books/1', 'one\r\ntwo', '', 'id-["a"]', 'book')
equal(id, 'id-["a"]', "the hub's answer to PHP")
equal(await inbox.until((m) => m, 'the update of PHP'), { type: 'book', data: 'one\ntwo', id }, 'the update of PHP')

// fetch-event-source: private updates, with the header of resuming. What was missed comes, then what is live.
const secret = php('https://example.com/books/2', 'private', '1')
const open = await form({ topic: 'https://example.com/books/3', data: 'public' })
equal((await inbox.until((m) => m.id === open, 'the public one')).data, 'public', 'nobody without a token gets the private one')
const mine = new Inbox()
const stop = new AbortController()
let headers
const done = fetchEventSource(hub + '?topic=*', {
  signal: stop.signal,
  openWhenHidden: true,
  headers: { authorization: 'Bearer ' + sign({ subscribe: ['https://example.com/books/{id}'] }), 'last-event-id': id },
  async onopen(r) { headers = r.headers },
  onmessage: (m) => mine.push(m),
})
equal((await mine.until((m) => m.data, 'the private one')).id, secret, 'what was missed')
equal((await mine.until((m) => m.data, 'the public one')).id, open, 'what was missed, in order')
equal(headers.get('last-event-id'), id, 'the header')
await form({ topic: 'x', data: 'live' })
equal((await mine.until((m) => m.data === 'live', 'live')).data, 'live', 'live')
stop.abort()
await done
es.close()
console.log('ok')
process.exit(0)
