import { authMiddleware } from '../../middlewares/auth.middleware'

export const config = { type: 'api', name: 'SetTyping', method: 'POST', path: '/chat/rooms/:roomId/typing', middleware: [authMiddleware], emits: ['chat.typing.start', 'chat.typing.stop'] }

export const handler = async (req, { emit, state }) => {
  const { roomId } = req.pathParams
  if (!(await state.get(`user_rooms:${req.user.userId}`, roomId))) return { status: 403, body: { error: 'Not a member of this room' } }
  const topic = req.body.typing ? 'chat.typing.start' : 'chat.typing.stop'
  await emit({ topic, data: { topic, roomId, userId: req.user.userId } })
  return { status: 202, body: {} }
}
