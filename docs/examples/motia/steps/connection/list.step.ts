import { authMiddleware } from '../../middlewares/auth.middleware'

export const config = { type: 'api', name: 'ListConnections', method: 'GET', path: '/connections', middleware: [authMiddleware], emits: [] }

/** The pages that a user has open. weir keeps the records, and pings and closes what is dead. */
export const handler = async (req) => {
  const { WEIR_URL = 'http://127.0.0.1:8080', WEIR_API_KEY } = process.env
  const response = await fetch(`${WEIR_URL}/v1/connections?user=${encodeURIComponent(req.user.userId)}`, { headers: { authorization: `Bearer ${WEIR_API_KEY}` } })
  const { connections } = await response.json()
  return { status: 200, body: connections.map((x) => ({ connectionId: x.connectionId, connectedAt: x.connectedAt })) }
}
