import { authMiddleware } from '../../middlewares/auth.middleware'

export const config = { type: 'api', name: 'PostToFeeds', method: 'POST', path: '/feed', middleware: [authMiddleware], emits: [] }

/** A page follows the stream, or listens to weir's /sse?channel=stream:feed:{user} with a plain EventSource. */
export const handler = async (req, { streams }) => {
  const update = { id: crypto.randomUUID(), type: req.body.type ?? 'post', by: req.user.userId, data: req.body.data, at: Date.now() }
  for (const follower of req.body.followers ?? []) await streams.feed.set(follower, update.id, update)
  return { status: 201, body: update }
}
