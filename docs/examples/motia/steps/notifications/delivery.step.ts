export const config = { type: 'event', name: 'NotificationDelivery', subscribes: ['notification.delivered', 'notification.failed'], emits: [] }

/** How many devices the last notification has reached. */
export const handler = async ({ userId, delivered = 0, failed }, { streams }) => {
  await streams.user.set(userId, 'delivery', { type: 'delivery', delivered, failed })
}
