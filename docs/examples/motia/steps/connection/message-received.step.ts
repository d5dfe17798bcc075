export const config = { type: 'event', name: 'MessageReceived', subscribes: ['message.received'], emits: [] }

/** What a user says in one page is shown in all that they have open. */
export const handler = async ({ userId, content, timestamp }, { streams }) => {
  await streams.user.set(userId, 'last', { type: 'message', content, timestamp })
}
