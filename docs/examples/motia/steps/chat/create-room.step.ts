import { authMiddleware } from '../../middlewares/auth.middleware'

export const config = { type: 'api', name: 'CreateChatRoom', method: 'POST', path: '/chat/rooms', middleware: [authMiddleware], emits: ['chat.room.created'] }

export const handler = async (req, { emit, state }) => {
  const { name, description, isPrivate = false, members = [] } = req.body
  if (typeof name !== 'string' || name.length < 1 || name.length > 100) return { status: 400, body: { error: 'name must have 1 to 100 characters' } }
  const { userId } = req.user
  const now = new Date().toISOString()
  const room = { id: crypto.randomUUID(), name, description, createdBy: userId, createdAt: now, isPrivate, members: [...new Set([userId, ...members])], lastActivity: now }
  await state.set('rooms', room.id, room)
  for (const member of room.members) await state.set(`user_rooms:${member}`, room.id, { roomId: room.id, joinedAt: now })
  await emit({ topic: 'chat.room.created', data: { roomId: room.id, createdBy: userId, members: room.members } })
  return { status: 201, body: room }
}
