// The npm package eventsource as a client: receive, lose the connection, resume every channel by itself.
import { EventSource } from 'eventsource'
import { base, token, publish, post, Inbox, equal } from './lib.mjs'

const inbox = new Inbox()
const es = new EventSource(`${base}/sse?channel=e2e:a&channel=e2e:b`, {
  fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, authorization: 'Bearer ' + token } }),
})
for (const type of ['connected', 'subscribed', 'channel_update', 'batch', 'update', 'resync', 'closed']) {
  es.addEventListener(type, (e) => {
    const m = JSON.parse(e.data)
    if (m.type !== 'batch') return inbox.push(m)
    for (const x of m.messages) inbox.push({ type: 'channel_update', channel: m.channel, ...x })
  })
}
const hello = await inbox.until((m) => m.type === 'connected', 'connected')
for (const channel of ['e2e:a', 'e2e:b']) await inbox.until((m) => m.type === 'subscribed' && m.channel === channel, `subscribed ${channel}`)
await publish({ channel: 'e2e:a', data: 1 })
await publish({ channel: 'e2e:b', data: { text: 'two\nlines' } })
equal((await inbox.until((m) => m.channel === 'e2e:a', 'a')).data, 1, 'first of a')
equal((await inbox.until((m) => m.channel === 'e2e:b', 'b')).data, { text: 'two\nlines' }, 'first of b')
await publish({ channel: 'user:' + hello.userId, data: 'own' })
equal((await inbox.until((m) => m.type === 'update', 'update')).data, 'own', 'own channel')

await post('/v1/disconnect', { connectionId: hello.connectionId })
await inbox.until((m) => m.type === 'closed', 'closed')
for (const n of [3, 4]) await publish({ channel: 'e2e:a', data: n })
await publish({ channel: 'e2e:b', data: 5 })
await inbox.until((m) => m.type === 'connected', 'the reconnect') // by the client itself
const missed = {}
for (let i = 0; i < 3; i++) {
  const m = await inbox.until((m) => m.type === 'subscribed' && m.channel.startsWith('e2e:') || m.type === 'channel_update', 'what was missed')
  if (m.type === 'subscribed') {
    equal(m.recovered, true, `recovered ${m.channel}`)
    missed[m.channel] = m.changes.map((c) => c.data)
    if (Object.keys(missed).length === 2) break
  }
}
equal(missed, { 'e2e:a': [3, 4], 'e2e:b': [5] }, 'missed')
await publish({ channel: 'e2e:b', data: 6 })
equal((await inbox.until((m) => m.type === 'channel_update' && m.channel === 'e2e:b', 'live again')).data, 6, 'live again')
es.close()
console.log('ok')
process.exit(0)
