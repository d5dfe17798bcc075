import { authMiddleware } from '../../middlewares/auth.middleware'

export const config = { type: 'api', name: 'ReportPresence', method: 'POST', path: '/presence/:channel', middleware: [authMiddleware], emits: ['presence.join', 'presence.leave', 'presence.heartbeat'] }

export const handler = async (req, { emit }) => {
  const topic = `presence.${req.body.event}`
  if (!config.emits.includes(topic)) return { status: 400, body: { error: 'event must be join, leave or heartbeat' } }
  await emit({ topic, data: { topic, channel: req.pathParams.channel, userId: req.user.userId } })
  return { status: 202, body: {} }
}
