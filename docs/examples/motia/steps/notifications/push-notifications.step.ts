export const config = { type: 'event', name: 'PushNotifications', subscribes: ['notification.send'], emits: ['notification.delivered', 'notification.failed'] }

/** The pages that are open follow the stream; devices are asked one by one. weir's own notifications (POST /v1/notify) also encrypt and try again. */
export const handler = async ({ userId, title, body, data, priority = 'normal' }, { emit, state, streams }) => {
  const devices = (await state.getGroup(`devices:${userId}`)) ?? []
  const results = await Promise.allSettled(devices.map(async (device) => {
    const response = await fetch(device.url, { method: 'POST', body: JSON.stringify({ title, body, data, priority }), signal: AbortSignal.timeout(5000) })
    if (response.status === 404 || response.status === 410) await state.delete(`devices:${userId}`, device.id)
    if (!response.ok) throw new Error(`answered ${response.status}`)
  }))
  await streams.notifications.set(userId, crypto.randomUUID(), { title, body, data, timestamp: Date.now(), read: false })
  const delivered = results.filter((x) => x.status === 'fulfilled').length
  const failed = results.length - delivered
  if (delivered > 0) await emit({ topic: 'notification.delivered', data: { userId, delivered, failed } })
  else if (failed > 0) await emit({ topic: 'notification.failed', data: { userId, failed } })
}
