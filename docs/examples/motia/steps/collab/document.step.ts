import { authMiddleware } from '../../middlewares/auth.middleware'

export const config = { type: 'api', name: 'CollaborativeDocument', method: 'POST', path: '/documents/:docId/collaborate', middleware: [authMiddleware], emits: [] }

/** Operations and cursors of a document: everybody who follows the streams gets them, in one order. weir's own documents also transform. */
export const handler = async (req, { streams }) => {
  const { docId } = req.pathParams
  const { userId } = req.user
  const { type, operation, position, selection } = req.body
  switch (type) {
    case 'operation': {
      const op = { ...operation, id: operation.id ?? crypto.randomUUID(), userId, timestamp: Date.now() }
      await streams.operations.set(docId, op.id, op)
      return { status: 200, body: op }
    }
    case 'cursor':
      await streams.cursors.set(docId, userId, { userId, position, selection })
      return { status: 200, body: {} }
  }
  return { status: 400, body: { error: 'type must be operation or cursor' } }
}
