// The service worker of the notification centre: it shows what is pushed while no page is open.
self.addEventListener('push', (e) => {
	const { title = 'weir', body = '', id = '' } = e.data?.json() ?? {}
	e.waitUntil(self.registration.showNotification(title, { body, tag: id, data: { id } }))
})
self.addEventListener('notificationclick', (e) => {
	e.notification.close()
	e.waitUntil(self.clients.openWindow('/demo/notify'))
})
