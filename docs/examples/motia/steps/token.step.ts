import { createHmac } from 'node:crypto'
import { authMiddleware } from '../middlewares/auth.middleware'

export const config = { type: 'api', name: 'WeirToken', method: 'GET', path: '/weir-token', middleware: [authMiddleware], emits: [] }

/** What the page shows weir when it connects: who it is, and which streams it may follow. */
export const handler = async (req, { state }) => {
  const { userId } = req.user
  const rooms = (await state.getGroup(`user_rooms:${userId}`)) ?? []
  const channels = {}
  for (const { roomId } of rooms) for (const stream of ['messages', 'typing', 'presence']) channels[`stream:${stream}:${roomId}`] = ['subscribe']
  for (const stream of ['user', 'feed', 'notifications']) channels[`stream:${stream}:${userId}`] = ['subscribe']
  for (const stream of ['operations', 'cursors']) channels[`stream:${stream}:*`] = ['subscribe']
  if (userId === 'admin') for (const stream of ['metrics', 'alerts']) channels[`stream:${stream}:live`] = ['subscribe']
  const part = (v) => Buffer.from(JSON.stringify(v)).toString('base64url')
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: userId, name: req.user.name, channels, exp: Math.floor(Date.now() / 1000) + 3600 })}`
  return { status: 200, body: { token: `${body}.${createHmac('sha256', process.env.WEIR_AUTH_SECRET).update(body).digest('base64url')}` } }
}
