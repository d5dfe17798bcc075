export const config = { type: 'event', name: 'CollectMetrics', subscribes: ['api.request', 'user.action', 'system.event'], emits: [] }

/** A dashboard follows the groups "live" of the streams metrics and alerts: an item for each counter, and one for each alert. */
export const handler = async ({ topic, value = 1 }, { state, streams }) => {
  const [type, action] = topic.split('.')
  const counter = ((await state.get('counters', topic)) ?? 0) + value
  await state.set('counters', topic, counter)
  const metric = { type, action, value, counter, timestamp: Date.now() }
  await streams.metrics.set('live', topic, metric)
  if (value >= 100) await streams.alerts.set('live', crypto.randomUUID(), { level: 'warning', message: `High ${type} activity detected`, metric })
}
