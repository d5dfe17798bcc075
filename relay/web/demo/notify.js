import { $, ask, backend, client, make, me } from './demo.js'

const weir = client()

// Notifications are items of the user's own channel: whatever device marks one as read, all of them see it.
weir.me.on('change', ({ group }) => group === 'notifications' && draw())

function draw() {
	const list = [...(weir.me.state.get('notifications') ?? new Map())].sort(([, a], [, b]) => b.timestamp - a.timestamp)
	const unread = list.filter(([, n]) => !n.read).length
	$('unread').textContent = unread
	$('unread').hidden = !unread
	$('none').hidden = list.length > 0
	$('list').replaceChildren(...list.map(([id, n]) => {
		const text = make('div', { className: 'grow' }, make('b', {}, n.title), make('p', {}, n.body ?? ''), make('p', { className: 'muted' }, new Date(n.timestamp).toLocaleTimeString()))
		const li = make('li', { className: n.read ? '' : 'unread' }, make('span', { className: 'icon', ariaHidden: 'true' }, n.priority === 'high' ? '🔥' : '🔔'), text)
		if (!n.read) li.append(make('button', { onclick: () => ask(weir, 'POST', `/notifications/${id}/read`) }, 'Read'))
		li.append(make('button', { ariaLabel: 'Dismiss ' + n.title, onclick: () => ask(weir, 'DELETE', '/notifications/' + id) }, '✕'))
		li.dataset.id = id
		return li
	}))
}

$('all').onclick = () => ask(weir, 'POST', '/notifications/read', { all: true })

// ---- Web Push ----

$('push').onclick = async () => {
	const say = (text) => ($('pushed').textContent = text)
	say('The browser is being asked.')
	try {
		if ((await Notification.requestPermission()) !== 'granted') return say('The browser does not allow notifications here.')
		const worker = await navigator.serviceWorker.register('/demo/sw.js')
		const { publicKey } = await ask(weir, 'GET', '/devices/vapid')
		await navigator.serviceWorker.ready
		const subscription = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: publicKey })
		const device = await ask(weir, 'POST', '/devices', { kind: 'webpush', subscription, name: 'This browser' })
		say(`On, as device ${device.id}. Close this page and notify yourself from a shell.`)
	} catch (err) {
		say('Web Push is not to be had here: ' + err.message)
	}
}

// ---- the other side: what a backend does ----

$('send').onsubmit = async (e) => {
	e.preventDefault()
	await backend('/v1/notify', { id: crypto.randomUUID(), userId: me.id, title: $('title').value, body: $('body').value, priority: 'normal' })
	$('title').value = $('body').value = ''
}
draw()
