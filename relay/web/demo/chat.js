import { $, ask, askOnce, avatar, client, make, me } from './demo.js'

const weir = client()
const rooms = new Map() // by id: what is known of each
const names = new Map([[me.id, me.name]])
let open // the room that is shown, its channels and messages

// ---- rooms: those of the user are items of their own channel; those of everybody stand in demo:rooms ----

const directory = weir.channel('demo:rooms')
directory.on('change', ({ op, key, data }) => {
	if (op === 'set') learn({ ...data, id: key })
})
directory.on('sync', async () => {
	const mine = (await ask(weir, 'GET', '/chat/rooms')).rooms
	const there = new Set([...mine.map((room) => room.id), ...(directory.state.get('items')?.keys() ?? [])])
	for (const id of rooms.keys()) if (!there.has(id)) forget(id)
	for (const room of mine) learn({ ...room, joined: true })
	if (open?.gone) return
	if (!open) await show(location.hash.slice(1))
	for (const id of rooms.keys()) if (!open) await show(id)
	if (!open) await show(await create('Lobby'))
})
weir.me.on('change', ({ op, group, key, data }) => {
	if (group === 'rooms' && op === 'set') learn({ ...data, id: key })
})

function learn(room) {
	rooms.set(room.id, { ...rooms.get(room.id), ...room })
	drawRooms()
	if (open?.gone && room.id !== open.id && room.name === open.gone) show(room.id) // somebody has made it again
}

// A relay that keeps nothing on disk forgets its rooms when it is started again. Nothing that was typed is lost here.
function forget(id) {
	const { name } = rooms.get(id)
	rooms.delete(id)
	drawRooms()
	if (id !== open?.id) return
	open.gone = name ?? 'Lobby'
	$('gone').hidden = false
	$('gone').firstElementChild.textContent = `“${open.gone}” is gone: the relay was started again and had not kept it.`
}
$('again').onclick = async () => show(await create(open.gone))

async function create(name) {
	const room = await askOnce(weir, 'POST', '/chat/rooms', { name })
	learn({ ...room, joined: true })
	await directory.publish({ name }, { key: room.id })
	return room.id
}

async function show(id) {
	if (!id || open?.id === id) return
	try {
		await ask(weir, 'POST', `/chat/rooms/${id}/join`)
	} catch {
		if (rooms.has(id)) forget(id) // such as one from an address that was kept
		return
	}
	const before = open
	before?.live.close()
	before?.people.close()
	location.hash = id
	const room = (open = { id, messages: new Map() })
	$('gone').hidden = true
	learn({ id, joined: true })
	room.live = weir.channel('room:' + id)
	room.people = weir.channel('presence:room:' + id)
	room.live.on('change', (c) => heard(room, c))
	room.people.on('change', drawPeople)
	// Messages are events, which a snapshot does not hold: when some may have been missed, they are loaded. What was
	// seen before and is not among them has been taken back by a crash.
	room.live.on('sync', async ({ recovered }) => {
		if (recovered) return
		const before = [...room.messages.values()]
		const { messages } = await ask(weir, 'GET', `/chat/rooms/${id}/messages?limit=100`).catch(() => ({}))
		if (!messages) return // the room is gone
		const kept = new Set(messages.map((m) => m.id))
		for (const m of before) if (!m.pending && !kept.has(m.id) && m.position >= (messages[0]?.position ?? 0)) room.messages.delete(m.id)
		for (const m of messages) take(room, m)
	})
	drawMessages()
	if (!before?.gone) return
	before.next = room // what could not be sent there is sent here
	for (const m of before.messages.values()) if (m.failed) send(room, m.content)
}

// ---- messages ----

function heard(room, { group, data }) {
	if (group === 'typing') return drawTyping()
	const m = room.messages.get(data?.messageId)
	if (data?.user) names.set(data.user.id, data.user.name)
	if (data?.type === 'new_message') take(room, data.message)
	if (data?.type === 'reaction_added' && m) m.reactions[data.reaction] = [...(m.reactions[data.reaction] ?? []).filter((u) => u !== data.userId), data.userId]
	if (data?.type === 'reaction_removed' && m) m.reactions[data.reaction] = m.reactions[data.reaction]?.filter((u) => u !== data.userId)
	drawMessages()
}

function take(room, m) {
	if (m.nonce) room.messages.delete(m.nonce) // it was shown before it was sent
	room.messages.set(m.id, m)
	if (room !== open) return
	learn({ id: room.id, unread: 0 })
	drawMessages()
	markRead(room, m.position)
}

let marking
function markRead({ id }, position) {
	clearTimeout(marking)
	marking = setTimeout(() => ask(weir, 'POST', `/chat/rooms/${id}/read`, { position }).catch(() => {}), 300)
}

// One after the other, so that they arrive as they were typed. The nonce makes a message that is sent twice one message.
let sending = Promise.resolve()
function send(room, content, nonce = crypto.randomUUID()) {
	room.messages.set(nonce, { id: nonce, userId: me.id, content, reactions: {}, position: Infinity, pending: true })
	drawMessages()
	sending = sending.then(async () => {
		for (;;) {
			try {
				return take(room, await askOnce(weir, 'POST', `/chat/rooms/${room.id}/messages`, { content, nonce }))
			} catch (err) {
				if (err.status && err.status < 500 && err.status !== 429) { // it will never be taken
					if (room.next) return void send(room.next, content, nonce)
					room.messages.get(nonce).failed = err.message
					return drawMessages()
				}
				await new Promise((again) => setTimeout(again, 1000))
			}
		}
	})
}

$('send').onsubmit = (e) => {
	e.preventDefault()
	if ($('text').value.trim()) send(open, $('text').value)
	$('text').value = ''
	typing(false)
}
$('create').onsubmit = async (e) => {
	e.preventDefault()
	const name = $('name').value.trim()
	$('name').value = ''
	if (name) show(await create(name))
}

let typed = 0
function typing(on) {
	if (on && Date.now() - typed < 2000) return
	typed = on ? Date.now() : 0
	weir.emit('chat.typing.' + (on ? 'start' : 'stop'), { roomId: open.id }).catch(() => {})
}
$('text').oninput = () => typing($('text').value !== '')

// ---- drawing ----

function drawRooms() {
	$('rooms').replaceChildren(...[...rooms.values()].map((room) => {
		const button = make('button', { onclick: () => show(room.id) }, make('span', {}, room.name ?? '…'))
		if (room.id === open?.id) button.setAttribute('aria-current', 'true')
		else if (room.unread) button.append(make('span', { className: 'badge', ariaLabel: room.unread + ' unread' }, String(room.unread)))
		return make('li', {}, button)
	}))
	$('title').textContent = rooms.get(open?.id)?.name ?? open?.gone ?? ''
}

function drawPeople() {
	const users = [...(open.people.state.get('users')?.values() ?? [])]
	for (const u of users) names.set(u.id, u.name)
	$('people').replaceChildren(...users.map((u) => avatar(u.id, u.name, 'small')), make('span', { className: 'muted' }, users.length + ' here'))
	drawTyping()
	drawMessages()
}

function drawTyping() {
	const who = [...(open.live.state.get('typing')?.keys() ?? [])].filter((id) => id !== me.id).map((id) => names.get(id) ?? id)
	$('typing').textContent = who.length ? who.join(', ') + (who.length > 1 ? ' are typing…' : ' is typing…') : ''
}

function drawMessages() {
	const list = $('messages')
	const low = list.scrollHeight - list.scrollTop - list.clientHeight < 80
	const sorted = [...open.messages.values()].sort((a, b) => a.position - b.position)
	list.replaceChildren(...sorted.map((m) => {
		const react = (r, users) => make('button', {
			className: users.length ? '' : 'add', ariaPressed: String(users.includes(me.id)), title: users.map((u) => names.get(u) ?? u).join(', ') || 'React',
			onclick: () => ask(weir, users.includes(me.id) ? 'DELETE' : 'PUT', `/chat/rooms/${open.id}/messages/${m.id}/reactions/${encodeURIComponent(r)}`),
		}, r + (users.length ? ' ' + users.length : ''))
		const reactions = ['👍', '🎉', '❤️'].map((r) => react(r, m.reactions[r] ?? []))
		const time = m.failed ? 'not sent: ' + m.failed : m.createdAt ? new Date(m.createdAt).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) : 'sending'
		const li = make('li', { className: (m.userId === me.id ? 'mine' : '') + (m.pending ? ' pending' : '') }, avatar(m.userId, names.get(m.userId) ?? m.userId),
			make('div', { className: 'bubble' }, make('p', { className: 'muted' }, `${names.get(m.userId) ?? m.userId} · ${time}`), make('p', { className: 'text' }, m.content), make('div', { className: 'reactions' }, ...(m.pending ? [] : reactions))))
		li.dataset.id = m.id
		return li
	}))
	if (low) list.scrollTop = list.scrollHeight
}
