export const config = { type: 'event', name: 'PresenceManager', subscribes: ['presence.join', 'presence.leave', 'presence.heartbeat'], emits: [] }

/** A member is an item that a heartbeat keeps: the stream has a ttl of 60 seconds. */
export const handler = async ({ topic, channel, userId }, { state, streams }) => {
  const known = async () => {
    const user = (await state.get('users', userId)) ?? { name: userId }
    return { name: user.name, avatar: user.avatar, status: 'online' }
  }
  switch (topic) {
    case 'presence.join':
      await streams.presence.set(channel, userId, { ...(await known()), joinedAt: Date.now() })
      break
    case 'presence.leave':
      await streams.presence.delete(channel, userId)
      break
    case 'presence.heartbeat': {
      const member = (await streams.presence.get(channel, userId)) ?? { ...(await known()), joinedAt: Date.now() } // or it was away for too long
      await streams.presence.set(channel, userId, { ...member, lastSeen: Date.now() })
    }
  }
}
