export const config = { type: 'event', name: 'PresenceManager', subscribes: ['presence.join', 'presence.leave', 'presence.heartbeat'], emits: [] }

/** A member is an item that a heartbeat keeps: the stream has a ttl of 60 seconds. */
export const handler = async ({ topic, channel, userId }, { state, streams }) => {
  switch (topic) {
    case 'presence.join': {
      const user = (await state.get('users', userId)) ?? { name: userId }
      await streams.presence.set(channel, userId, { name: user.name, avatar: user.avatar, status: 'online', joinedAt: Date.now() })
      break
    }
    case 'presence.leave':
      await streams.presence.delete(channel, userId)
      break
    case 'presence.heartbeat': {
      const member = await streams.presence.get(channel, userId)
      if (member) await streams.presence.set(channel, userId, { ...member, lastSeen: Date.now() })
    }
  }
}
