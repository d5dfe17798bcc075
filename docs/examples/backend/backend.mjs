// A backend beside weir, in plain Node: it is told of chat messages by a webhook, checks that the request is weir's,
// and answers in the room. It needs nothing but Node 18 or later.
//
//   WEIR_URL            where weir is, http://127.0.0.1:8080
//   WEIR_AUTH_SECRET    signs tokens; here, that of the bot
//   WEIR_WEBHOOK_SECRET whsec_..., as in weir's configuration
//   PORT                where to listen; 3000
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const { WEIR_URL = 'http://127.0.0.1:8080', WEIR_AUTH_SECRET, WEIR_WEBHOOK_SECRET, PORT = '3000' } = process.env
if (!WEIR_AUTH_SECRET || !WEIR_WEBHOOK_SECRET?.startsWith('whsec_')) {
  console.error('set WEIR_AUTH_SECRET and WEIR_WEBHOOK_SECRET')
  process.exit(2)
}
const key = Buffer.from(WEIR_WEBHOOK_SECRET.slice('whsec_'.length), 'base64')
const bot = { id: 'bot', name: 'Bot' }

// verify says whether a request is weir's, by the Standard Webhooks specification. body is its bytes as they came.
function verify(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': list } = headers
  const age = Math.abs(Date.now() / 1000 - Number(time))
  if (!id || !list || !(age <= 300)) return false // too old is as bad as forged: somebody may have kept it
  const want = createHmac('sha256', key).update(`${id}.${time}.`).update(body).digest()
  return list.split(' ').some((one) => { // two, while one secret replaces another
    const got = Buffer.from(one.slice('v1,'.length), 'base64')
    return one.startsWith('v1,') && got.length === want.length && timingSafeEqual(got, want)
  })
}

// seen remembers which events were dealt with: an event may come again, when an answer was lost on its way.
const seen = new Set()
function repeated(id) {
  if (seen.has(id)) return true
  seen.add(id)
  if (seen.size > 10_000) seen.delete(seen.values().next().value) // the oldest
  return false
}

function token() {
  const b64 = (v) => Buffer.from(JSON.stringify(v)).toString('base64url')
  const body = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64({ sub: bot.id, name: bot.name, exp: Math.floor(Date.now() / 1000) + 300 })}`
  return `${body}.${createHmac('sha256', WEIR_AUTH_SECRET).update(body).digest('base64url')}`
}

// call asks weir as the bot.
async function call(method, path, body) {
  const response = await fetch(WEIR_URL + path, {
    method,
    headers: { authorization: `Bearer ${token()}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(5000),
  })
  const answer = await response.json()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer.code ?? answer.error ?? ''}`)
  return answer
}

// answer is what this backend is for.
async function answer({ id, data }) {
  const { roomId, messageId, userId, members } = data
  if (userId === bot.id || !members.includes(bot.id)) return // its own words, or a room it was not asked into
  const { messages } = await call('GET', `/chat/rooms/${encodeURIComponent(roomId)}/messages?limit=50`)
  const message = messages.find((m) => m.id === messageId)
  if (!message) return // deleted since
  // With the nonce, what is sent again after a crash is still one message.
  await call('POST', `/chat/rooms/${encodeURIComponent(roomId)}/messages`, { content: `You said: ${message.content}`.slice(0, 1000), nonce: id })
}

// body reads a request, up to a bound.
async function read(request, most = 1 << 20) {
  const parts = []
  let size = 0
  for await (const part of request) {
    size += part.length
    if (size > most) return null
    parts.push(part)
  }
  return Buffer.concat(parts)
}

const server = createServer(async (request, response) => {
  const end = (status) => response.writeHead(status).end()
  try {
    if (request.method !== 'POST' || request.url !== '/weir/events') return end(404)
    const body = await read(request)
    if (body === null) return end(413)
    if (!verify(request.headers, body)) return end(401)
    const event = JSON.parse(body)
    end(204) // at once: weir waits two seconds at most, and the next event of the room waits for this one
    if (repeated(event.id)) return
    if (event.type === 'chat.message.sent') await answer(event)
  } catch (error) {
    console.error(error.message)
    if (!response.headersSent) end(500)
  }
})
server.listen(Number(PORT), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}/weir/events`))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.close(() => process.exit(0)))
