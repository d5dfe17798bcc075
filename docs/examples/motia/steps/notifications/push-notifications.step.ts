export const config = { type: 'event', name: 'PushNotifications', subscribes: ['notification.send'], emits: ['notification.delivered', 'notification.failed'] }

export const handler = async ({ userId, title, body, data }, { emit, state, streams }) => {
  const devices = (await state.getGroup(`devices:${userId}`)) ?? []
  // weir's own notifications (POST /v1/notify) also reach the devices; here only the pages that are open do.
  await streams.notifications.set(userId, crypto.randomUUID(), { title, body, data, timestamp: Date.now(), read: false })
  await emit({ topic: 'notification.delivered', data: { userId, delivered: 1, failed: devices.length } })
}
