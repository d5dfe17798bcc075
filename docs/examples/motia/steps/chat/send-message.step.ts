import { authMiddleware } from '../../middlewares/auth.middleware'

export const config = { type: 'api', name: 'SendMessage', method: 'POST', path: '/chat/rooms/:roomId/messages', middleware: [authMiddleware], emits: ['chat.message.sent', 'notification.send'] }

export const handler = async (req, { emit, state, streams }) => {
  const { roomId } = req.pathParams
  const { content, type = 'text', metadata } = req.body
  const { userId, name, avatar } = req.user
  if (typeof content !== 'string' || content.length < 1 || content.length > 1000) return { status: 400, body: { error: 'content must have 1 to 1000 characters' } }
  if (!['text', 'image', 'file'].includes(type)) return { status: 400, body: { error: 'type must be text, image or file' } }
  const membership = await state.get(`user_rooms:${userId}`, roomId)
  if (!membership) return { status: 403, body: { error: 'Not a member of this room' } }
  const message = { id: crypto.randomUUID(), roomId, userId, content, type, metadata, createdAt: new Date().toISOString(), edited: false, reactions: {} }
  await state.set(`messages:${roomId}`, message.id, message)
  const room = await state.get('rooms', roomId)
  await state.set('rooms', roomId, { ...room, lastActivity: message.createdAt, lastMessage: { messageId: message.id, content, userId } })
  await streams.messages.set(roomId, message.id, { type: 'new_message', message, user: { id: userId, name, avatar } })
  await emit({ topic: 'chat.message.sent', data: { roomId, messageId: message.id, userId, members: room.members } })
  for (const member of room.members.filter((x) => x !== userId)) {
    await emit({ topic: 'notification.send', data: { userId: member, title: `${name} in ${room.name}`, body: content } })
  }
  return { status: 201, body: message }
}
