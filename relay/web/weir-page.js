// The page at "/": it follows one channel with the client that every relay serves, shows what was and what arrives, and
// publishes. Whatever comes from the relay is shown with textContent only.
import { connect } from '/weir.js'

const $ = (id) => document.getElementById(id)
const make = (tag, props = {}, ...children) => {
	const el = Object.assign(document.createElement(tag), props)
	el.append(...children)
	return el
}
const maxRows = 200 // changes shown
const maxItems = 300 // items shown
const { content: given, dataset: { key: published } } = document.querySelector('meta[name=weir-token]') // in development the relay puts a token into the page

// ---- the connection ----

let weir // the client; none while there is no token
let main, people // the channel that was asked for, and who is in it
let token = given

function start() {
	weir?.close()
	main = people = undefined
	weir = connect(location.origin, { token: token || undefined })
	weir.on('status', status)
	weir.on('connected', ({ userId }) => ($('user').textContent = userId ? 'as ' + userId : 'anonymous'))
	weir.me.on('change', (c) => main.name !== weir.me.name && arrived(weir.me.name, c))
	choose()
}

function status({ status, reason }) {
	const texts = { connecting: 'Connecting', open: 'Connected', waiting: 'Not connected, trying again', closed: 'Closed' }
	$('status').dataset.state = { open: 'open', closed: 'stopped' }[status] ?? 'waiting'
	$('status').firstElementChild.textContent = texts[status] + (reason ? ': ' + reason : '')
	$('toggle').textContent = status === 'closed' ? 'Connect' : 'Disconnect'
	$('go').disabled = status !== 'open'
	if (status === 'open') ping()
	if (status === 'closed' && reason) askToken(true)
}

async function ping() {
	const at = performance.now()
	if ((await weir.command({ type: 'ping' })).type === 'pong') number('latency', (performance.now() - at).toFixed(1), 'ms')
}
setInterval(() => weir?.status === 'open' && ping().catch(() => {}), 10_000)

// choose follows the channel that the address names.
function choose() {
	const name = new URLSearchParams(location.hash.slice(1)).get('channel') || main?.name || 'demo:lobby'
	$('channel').value = name
	if (main?.name === name || !weir) return form()
	main?.close()
	people?.close()
	document.title = name + ' · weir'
	rows = []
	$('changes').replaceChildren()
	$('people').hidden = true
	const c = (main = weir.channel(name))
	let early = [] // what came before the log from before was there
	c.on('change', (change) => {
		if (c !== main) return
		if (!early) return arrived(name, change)
		early.push(change)
		stale = true
		draw()
	})
	c.on('error', (e) => c === main && note(`Not following ${name}: ${e.message ?? e.reason}`))
	c.on('sync', async ({ recovered, lost }) => {
		stale = true
		draw()
		if (!early) return note(recovered ? 'Connected again; nothing was missed.' : lost ? 'Connected again; some events may have been missed.' : 'Connected again.')
		const { seq } = c.position
		const { changes } = await c.history({ limit: 50 }).catch(() => ({ changes: [] })) // not everybody may see it
		if (c !== main || !early) return
		rows.unshift(...changes.map((change) => row(name, change, true)))
		const last = changes.at(-1)?.seq ?? seq
		for (const change of early) if (change.seq > last) arrived(name, change)
		early = undefined
		draw()
	})
	people = name.startsWith('presence:') ? undefined : weir.channel('presence:' + name)
	people?.on('change', drawPeople)
	people?.on('sync', drawPeople)
	people?.on('error', () => {}) // who is here is told to those who may know
	stale = true
	form()
	draw()
}

// ---- what is shown ----

let received = 0
const mine = new Set() // positions of changes of this page
let rows = [] // waiting to be shown, oldest first
let stale = false // the items are to be shown again
let paused = false
let drawing = false
let unsaid = 0 // changes that were not announced yet
let lastSaid = ''

const number = (id, value, unit) => $(id).replaceChildren(`${value} `, make('small', {}, unit))
const text = (data) => {
	const s = typeof data === 'string' ? data : JSON.stringify(data) ?? ''
	return s.length > 2000 ? s.slice(0, 2000) + '…' : s
}
const row = (channel, c, old) => ({ channel, c, old, at: channel + ':' + c.seq, time: new Date() })

function arrived(channel, c) {
	received++
	unsaid++
	lastSaid = `${c.op} ${c.key ?? ''} ${text(c.data).slice(0, 80)}`
	stale ||= channel === main.name && c.op !== 'send'
	push(row(channel, c))
}
const note = (text) => push({ note: text })
function push(r) {
	rows.push(r)
	if (rows.length > maxRows) rows.shift()
	draw()
}

// draw puts showing off to the next frame: a busy channel costs one update a frame.
function draw() {
	if (drawing) return
	drawing = true
	requestAnimationFrame(() => {
		drawing = false
		if (!paused) drawRows()
		$('held').textContent = paused && rows.length ? rows.length + ' held' : ''
		if (stale) drawItems()
		stale = false
		if (main?.position) number('position', main.position.seq, 'in ' + main.position.epoch.slice(-6))
		number('received', received, received === 1 ? 'change' : 'changes')
	})
}

function drawRows() {
	const fresh = rows.map(({ note, channel, c, old, at, time }) => {
		if (note) return make('li', { className: 'note' }, note)
		const what = make('span', { className: 'what' })
		if (channel !== main.name) what.append(make('b', {}, channel))
		if (c.key) what.append(make('b', {}, c.group === 'items' ? c.key : c.group + '/' + c.key))
		if (c.op !== 'delete') what.append(make('code', {}, text(c.data)))
		else if (c.cause) what.append(make('span', { className: 'muted' }, c.cause))
		const when = old ? `${c.seq} · before` : `${c.seq} · ${time.toLocaleTimeString()}`
		const li = make('li', { className: old ? 'old' : 'fresh' }, make('span', { className: 'op ' + c.op }, c.op), what, make('span', { className: 'when' }, when))
		li.dataset.at = at
		if (mine.has(at)) li.classList.add('mine')
		return li
	})
	rows = []
	if (fresh.length) $('changes').prepend(...fresh.reverse())
	while ($('changes').childElementCount > maxRows) $('changes').lastElementChild.remove()
	$('quiet').hidden = Boolean($('changes').querySelector('li:not(.note)'))
}

// Only what is different is touched, so that what has the focus keeps it.
function drawItems() {
	let count = 0
	const wanted = []
	for (const [group, items] of main?.state ?? []) for (const [key, data] of items) if (count++ < maxItems) wanted.push([group, key, text(data)])
	const known = new Map([...$('state').querySelectorAll('li')].map((li) => [li.dataset.group + '/' + li.dataset.key, li]))
	for (const [group, key, value] of wanted) {
		let li = known.get(group + '/' + key)
		if (!li) {
			li = make('li', {}, make('button', { type: 'button', title: 'Put into the form', onclick: () => edit(group, key) }, make('b', {}, key), make('code')))
			Object.assign(li.dataset, { group, key })
			section(group).append(li)
		}
		known.delete(group + '/' + key)
		const code = li.querySelector('code')
		if (code.textContent !== value) code.textContent = value
	}
	for (const li of known.values()) li.remove()
	for (const s of [...$('state').children]) if (!s.querySelector('li')) s.remove()
	$('items').textContent = count ? `${count} item${count === 1 ? '' : 's'}${count > maxItems ? `, ${maxItems} shown` : ''}` : ''
	$('bare').hidden = count > 0
}
function section(group) {
	let s = [...$('state').children].find((s) => s.dataset.group === group)
	if (!s) {
		s = make('section', {}, make('h3', {}, group), make('ul'))
		s.dataset.group = group
		$('state').append(s)
	}
	return s.lastElementChild
}

function drawPeople() {
	const users = [...(people?.state.get('users')?.values() ?? [])]
	$('people').hidden = !users.length
	$('people').replaceChildren(`${users.length} here now`, ...users.slice(0, 20).map((u) => make('span', {}, (u.name || u.id) + (u.id === weir.userId ? ' (you)' : ''))))
}

// ---- publishing ----

const hints = { send: 'an event, kept in the log only', set: 'an item that stays', delete: 'removes an item' }
const op = () => $('publish').elements.op.value

// parse takes what was typed as JSON if it is that, else as text.
function parse(text) {
	try {
		return { json: true, value: JSON.parse(text) }
	} catch {
		return { json: false, value: text }
	}
}

function publication() {
	const p = { op: op() }
	if (p.op !== 'send') Object.assign(p, { group: $('group').value || undefined, key: $('key').value })
	if (p.op === 'set' && $('ttl').value) p.ttl = Math.round($('ttl').valueAsNumber * 1000)
	return p
}

// form shows the fields of the operation, and the same for a backend.
function form() {
	const kind = op(), typed = $('text').value
	$('item').hidden = $('key').disabled = $('group').disabled = kind === 'send'
	$('life').hidden = $('ttl').disabled = kind !== 'set'
	$('data').hidden = kind === 'delete'
	$('ophint').textContent = hints[kind]
	$('datahint').textContent = kind === 'delete' || !typed ? '' : parse(typed).json ? 'Goes out as JSON' : 'Goes out as text'
	$('go').textContent = kind === 'delete' ? 'Delete' : 'Publish'
	const body = { channel: $('channel').value, ...publication(), data: kind === 'delete' ? undefined : parse(typed || 'hello').value }
	if (kind !== 'send') body.key ||= 'k1'
	const auth = published ? `'Authorization: Bearer ${published}'` : '"Authorization: Bearer $WEIR_API_KEY"'
	$('curl').textContent = `curl ${location.origin}/v1/publish \\\n  -H ${auth} \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`
}

function edit(group, key) {
	const value = main.get(group, key)
	$('publish').elements.op.value = 'set'
	$('group').value = group === 'items' ? '' : group
	$('key').value = key
	$('text').value = typeof value === 'string' && !parse(value).json ? value : JSON.stringify(value)
	form()
	$('text').focus()
}

function answer(text, bad) {
	$('answer').textContent = text
	$('answer').className = bad ? 'bad' : ''
}

$('publish').onsubmit = async (e) => {
	e.preventDefault()
	const kind = op(), typed = $('text').value, asked = performance.now()
	if (kind !== 'delete' && !typed) return answer('Data is empty.', true)
	try {
		const { seq } = await main.publish(kind === 'delete' ? undefined : parse(typed).value, publication())
		answer(`Change ${seq}, accepted after ${(performance.now() - asked).toFixed(1)} ms`)
		const at = main.name + ':' + seq
		if (mine.add(at).size > maxRows) mine.delete(mine.values().next().value)
		$('changes').querySelector(`[data-at="${CSS.escape(at)}"]`)?.classList.add('mine')
		if (kind === 'send' && $('text').value === typed) $('text').value = ''
		form()
	} catch (err) {
		answer(err.message, true)
	}
}
$('publish').oninput = () => {
	answer('')
	form()
}
$('text').onkeydown = (e) => {
	if (e.key !== 'Enter' || e.shiftKey || e.isComposing) return
	e.preventDefault()
	$('publish').requestSubmit()
}

// ---- the rest of the page ----

function askToken(show) {
	$('tokenform').hidden = !show
	$('tokentoggle').setAttribute('aria-expanded', show)
	if (show) $('token').focus()
}
$('channelform').onsubmit = (e) => {
	e.preventDefault()
	location.hash = 'channel=' + encodeURIComponent($('channel').value)
}
$('tokenform').onsubmit = (e) => {
	e.preventDefault()
	token = $('token').value.trim()
	$('token').value = ''
	askToken(false)
	start()
}
$('tokentoggle').onclick = () => askToken($('tokenform').hidden)
$('toggle').onclick = () => (weir && weir.status !== 'closed' ? weir.close() : start())
$('pause').onclick = () => {
	paused = !paused
	$('pause').setAttribute('aria-pressed', paused)
	draw()
}
$('copy').onclick = async () => {
	try {
		await navigator.clipboard.writeText($('curl').textContent)
		$('copy').textContent = 'Copied'
		setTimeout(() => ($('copy').textContent = 'Copy'), 1500)
	} catch { // refused over plain HTTP: select it instead
		getSelection().selectAllChildren($('curl'))
	}
}
addEventListener('hashchange', choose)
// A screen reader hears of changes now and then.
setInterval(() => {
	if (unsaid) $('news').textContent = unsaid === 1 ? lastSaid : `${unsaid} changes, the last: ${lastSaid}`
	unsaid = 0
}, 4000)

if (given) start()
else {
	choose()
	askToken(true)
	$('status').dataset.state = 'stopped'
	$('status').firstElementChild.textContent = 'A token is needed'
}
