import { authMiddleware } from '../../middlewares/auth.middleware'

export const config = { type: 'api', name: 'Track', method: 'POST', path: '/track', middleware: [authMiddleware], emits: ['api.request', 'user.action', 'system.event'] }

export const handler = async (req, { emit }) => {
  const { topic, value } = req.body
  if (!config.emits.includes(topic)) return { status: 400, body: { error: `topic must be one of ${config.emits}` } }
  await emit({ topic, data: { topic, value } })
  return { status: 202, body: {} }
}
