// A browser's side of web push, by the libraries of others: http_ece decrypts what weir has encrypted, and web-push
// makes the same request that weir makes.
import { createECDH, createPublicKey, randomBytes, verify } from 'node:crypto'
import { createServer } from 'node:http'
import ece from 'http_ece'
import webpush from 'web-push'
import { base, token, post, Inbox, equal } from './lib.mjs'

const browser = createECDH('prime256v1')
browser.generateKeys()
const auth = randomBytes(16)
const keys = { p256dh: browser.getPublicKey('base64url'), auth: auth.toString('base64url') }

const inbox = new Inbox()
const service = createServer((request, response) => {
  const parts = []
  request.on('data', (part) => parts.push(part))
  request.on('end', () => {
    inbox.push({ path: request.url, headers: request.headers, body: Buffer.concat(parts) })
    response.writeHead(201).end()
  })
})
await new Promise((done) => service.listen(0, '127.0.0.1', done))
const origin = `http://127.0.0.1:${service.address().port}`

const headers = { authorization: 'Bearer ' + token, 'content-type': 'application/json' }
const { publicKey } = await (await fetch(base + '/devices/vapid', { headers })).json()
const subscription = { endpoint: origin + '/send/x', expirationTime: null, keys }
const registered = await fetch(base + '/devices', { method: 'POST', headers, body: JSON.stringify({ kind: 'webpush', ...subscription }) })
equal(registered.status, 201, 'POST /devices')

const decrypt = (body) => ece.decrypt(body, { version: 'aes128gcm', privateKey: browser, dh: keys.p256dh, authSecret: keys.auth })

const data = { text: 'ünïcode 😀', list: [1, 2] }
const { id } = await post('/v1/notify', { userId: 'e2e', title: 'Hello', body: 'World', data, priority: 'high' })
const mine = await inbox.until((m) => m.path === '/send/x', 'the push')
const got = JSON.parse(decrypt(mine.body))
equal([got.id, got.title, got.body, got.data], [id, 'Hello', 'World', data], 'what the browser reads')

// The signature: by whom, for whom, until when.
const [, jwt, k] = mine.headers.authorization.match(/^vapid t=([^,]+), k=(.+)$/)
equal(k, publicKey, 'the key of the request')
const point = Buffer.from(k, 'base64url')
const jwk = { kty: 'EC', crv: 'P-256', x: point.subarray(1, 33).toString('base64url'), y: point.subarray(33).toString('base64url') }
const [head, claims, signature] = jwt.split('.')
if (!verify('sha256', Buffer.from(head + '.' + claims), { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))) {
  throw new Error('the signature is wrong')
}
const said = JSON.parse(Buffer.from(claims, 'base64url'))
equal(said.aud, origin, 'aud')
if (!said.sub.startsWith('mailto:') || said.sub.startsWith('mailto:mailto:')) throw new Error(`sub ${said.sub}`)
if (!(said.exp > Date.now() / 1000 && said.exp < Date.now() / 1000 + 86400)) throw new Error(`exp ${said.exp}`)

// web-push sends the like of it.
const vapid = webpush.generateVAPIDKeys()
const theirs = webpush.generateRequestDetails(subscription, JSON.stringify(got), {
  vapidDetails: { subject: 'mailto:e2e@example.com', publicKey: vapid.publicKey, privateKey: vapid.privateKey },
  TTL: 86400, urgency: 'high', topic: mine.headers.topic, contentEncoding: 'aes128gcm',
})
equal(JSON.parse(decrypt(theirs.body)), got, 'what web-push encrypts')
for (const name of ['TTL', 'Urgency', 'Topic', 'Content-Encoding', 'Content-Type']) {
  equal(mine.headers[name.toLowerCase()], String(theirs.headers[name]), name)
}
service.close()
service.closeAllConnections()
console.log('ok')
