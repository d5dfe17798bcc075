export const config = { type: 'event', name: 'TypingIndicator', subscribes: ['chat.typing.start', 'chat.typing.stop'], emits: [] }

/** Who types is an item that ends by itself: motia.config.ts gives the stream a ttl of 5 seconds. */
export const handler = async ({ topic, roomId, userId }, { streams }) => {
  if (topic === 'chat.typing.start') await streams.typing.set(roomId, userId, { userId, startedAt: Date.now() })
  else await streams.typing.delete(roomId, userId)
}
