import { authMiddleware } from '../../middlewares/auth.middleware'

export const config = { type: 'api', name: 'Message', method: 'POST', path: '/message', middleware: [authMiddleware], emits: ['message.received'] }

export const handler = async (req, { emit }) => {
  const { content } = req.body
  if (typeof content !== 'string') return { status: 400, body: { error: 'content must be a text' } }
  await emit({ topic: 'message.received', data: { userId: req.user.userId, content, timestamp: new Date().toISOString() } })
  return { status: 202, body: {} }
}
