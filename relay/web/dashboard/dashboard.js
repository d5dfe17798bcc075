// The dashboard at "/" of the admin listener: weir's own figures over a WebSocket, and the API of backends.
// Whatever comes from the relay is shown with textContent only.
import uPlot from './uplot.js'

const $ = (id) => document.getElementById(id)
const make = (tag, props = {}, ...children) => {
	const el = Object.assign(document.createElement(tag), props)
	el.append(...children)
	return el
}
// A colour as a canvas wants it: what the style sheet's name stands for now.
const probe = make('i', { hidden: true })
document.body.append(probe)
const colour = (name, alpha = 1) => {
	probe.style.color = `var(--${name})`
	const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g)
	return `rgba(${r}, ${g}, ${b}, ${alpha})`
}
const short = (n) => (n == null ? '–' : n >= 1e9 ? (n / 1e9).toFixed(2) + ' G' : n >= 1e6 ? (n / 1e6).toFixed(2) + ' M' : n >= 1e4 ? (n / 1e3).toFixed(1) + ' k' : +n.toFixed(n < 10 ? 2 : n < 100 ? 1 : 0))
const mib = (n) => n / 2 ** 20

// ---- an hour of figures: one array of values for each metric, one of times ----

const hour = 3600
const times = []
const figures = new Map() // by metric, each as long as times
const now = new Map() // the last known value of gauges
const gauges = ['connections', 'sessions/ws', 'sessions/sse', 'channels', 'batching', 'latency/p50', 'latency/p99', 'latency/p999', 'memory', 'cpu', 'lagging', 'queued']
const counters = ['published', 'delivered', 'drops/slow', 'drops/stalled', 'drops/ratelimit', 'drops/resync', 'drops/shed', 'drops/refused']
for (const name of [...gauges, ...counters]) figures.set('weir.' + name, [])

function second(at) {
	const last = times.at(-1) ?? at - 1
	for (let t = Math.max(last + 1, at - hour); t <= at; t++) {
		times.push(t)
		for (const [name, values] of figures) values.push(gauges.includes(name.slice(5)) ? (name.includes('latency') || name.includes('batching') ? null : now.get(name) ?? null) : t === at ? 0 : null)
	}
	while (times.length > hour) {
		times.shift()
		for (const values of figures.values()) values.shift()
	}
}

function take(name, value, at) {
	if (!figures.has(name)) return
	now.set(name, value)
	if (at > (times.at(-1) ?? 0)) second(at)
	const i = times.length - 1 - (times.at(-1) - at)
	if (i >= 0) figures.get(name)[i] = value
}

async function history() {
	const query = [...figures.keys()].map((m) => 'metric=' + encodeURIComponent(m)).join('&')
	const r = await fetch(`/analytics/history?span=${hour}&step=1&${query}`)
	if (!r.ok) return
	const h = await r.json()
	const n = Math.max(0, ...Object.values(h.metrics).map((m) => m.value.length))
	times.length = 0
	for (const values of figures.values()) values.length = 0
	for (let i = 0; i < n; i++) {
		times.push(h.from / 1000 + i)
		for (const [name, values] of figures) values.push(h.metrics[name]?.value[i] ?? null)
	}
}

// ---- what is drawn ----

const tiles = [
	['Connections', '', () => now.get('weir.connections')], ['Published', '/s', () => figures.get('weir.published').at(-1)], ['Delivered', '/s', () => figures.get('weir.delivered').at(-1)],
	['Messages a frame', '', () => now.get('weir.batching')], ['Latency, p99', 'ms', () => now.get('weir.latency/p99')], ['Memory', 'MiB', () => mib(now.get('weir.memory') ?? 0)],
	['CPU', 'cores', () => now.get('weir.cpu')], ['Channels', '', () => now.get('weir.channels')],
].map(([title, unit, value]) => {
	const out = make('output')
	$('tiles').append(make('div', {}, make('span', { className: 'muted' }, title), out))
	return () => out.replaceChildren(String(short(value())), make('small', {}, unit))
})

const plots = [
	['Connections', [['all', 'connections', 'accent'], ['WebSocket', 'sessions/ws', 'blue'], ['SSE', 'sessions/sse', 'violet']]],
	['Messages a second', [['published', 'published', 'accent'], ['delivered', 'delivered', 'blue']]],
	['Messages a frame', [['mean', 'batching', 'accent']]],
	['Latency, ms', [['p50', 'latency/p50', 'good'], ['p99', 'latency/p99', 'warn'], ['p99.9', 'latency/p999', 'bad']]],
	['Drops a second', [['slow', 'drops/slow', 'bad'], ['stalled', 'drops/stalled', 'warn'], ['rate', 'drops/ratelimit', 'violet'], ['resync', 'drops/resync', 'blue'], ['shed', 'drops/shed', 'accent'], ['refused', 'drops/refused', 'good']]],
	['Memory, MiB', [['in use', 'memory', 'accent']]],
].map(([title, series]) => ({ title, series, box: make('div'), card: make('section', { className: 'card' }) }))

let span = 300
for (const p of plots) {
	const legend = p.series.map(([name, , c]) => {
		const dot = make('i')
		dot.style.background = `var(--${c})`
		return make('span', {}, dot, name)
	})
	p.card.append(make('h2', {}, p.title, ...legend), p.box)
	p.card.setAttribute('aria-label', p.title)
	$('plots').append(p.card)
}

function build() {
	for (const p of plots) {
		p.plot?.destroy()
		const axis = { stroke: colour('muted'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' }
		p.plot = new uPlot({
			width: p.box.clientWidth || 400, height: 170, legend: { show: false }, cursor: { drag: { x: false, y: false }, points: { size: 6 } },
			scales: { y: { range: (_, min, max) => [0, max > 0 ? max * 1.1 : 1] } },
			axes: [{ ...axis, space: 70 }, { ...axis, size: 46, values: (_, ticks) => ticks.map((v) => String(short(v))) }],
			series: [{}, ...p.series.map(([label, , c]) => ({ label, stroke: colour(c), width: 1.6, points: { show: false }, spanGaps: true, ...(p.series.length === 1 && { fill: colour(c, 0.14) }) }))],
		}, data(p), p.box)
	}
}
const data = (p) => {
	const from = Math.max(0, times.length - span)
	return [times.slice(from), ...p.series.map(([, name]) => {
		const values = figures.get('weir.' + name).slice(from)
		return name === 'memory' ? values.map((v) => v == null ? null : mib(v)) : values
	})]
}

let drawing = false
function draw() {
	if (drawing || document.hidden) return
	drawing = true
	requestAnimationFrame(() => {
		drawing = false
		tiles.forEach((tile) => tile())
		for (const p of plots) p.plot?.setData(data(p))
	})
}
for (const b of document.querySelectorAll('[data-span]')) b.onclick = () => {
	span = +b.dataset.span
	for (const o of document.querySelectorAll('[data-span]')) o.setAttribute('aria-pressed', String(o === b))
	draw()
}
new ResizeObserver(() => plots.forEach((p) => p.plot?.setSize({ width: p.box.clientWidth, height: 170 }))).observe($('plots'))
matchMedia('(prefers-color-scheme: dark)').onchange = build
document.addEventListener('visibilitychange', draw)

// ---- the WebSocket ----

let tries = 0
function say(state, text) {
	$('status').dataset.state = state
	$('status').textContent = text
}
async function connect() {
	say('waiting', 'Connecting')
	await history().catch(() => {})
	if (!plots[0].plot) build()
	const ws = new WebSocket(location.origin.replace('http', 'ws') + '/analytics/live')
	ws.onmessage = (e) => hear(JSON.parse(e.data))
	ws.onopen = () => say('open', 'Live')
	ws.onclose = () => {
		say('off', 'Not connected')
		setTimeout(connect, Math.min(500 * 2 ** tries++, 15000) * (0.5 + Math.random() / 2))
	}
}

function hear({ type, data: d }) {
	tries = 0
	if (type === 'snapshot') {
		const at = Math.round(d.timestamp / 1000)
		for (const [name, value] of Object.entries(d.gauges)) take(name, value, at)
		$('alerts').lastElementChild.replaceChildren()
		d.alerts.forEach(alert)
	}
	if (type === 'metric_update' && d.type === 'weir') take(`weir.${d.action}${d.name ? '/' + d.name : ''}`, d.value, Math.round(d.timestamp / 1000))
	if (type === 'alert') alert(d)
	if (type === 'top') {
		second(Math.round(d.timestamp / 1000))
		top(d)
	}
	draw()
}

function alert({ name, state, message, level }) {
	const list = $('alerts').lastElementChild
	for (const li of [...list.children]) if (li.dataset.name === name) li.remove()
	if (state !== 'cleared') {
		const li = make('li', {}, `${level}: ${message}`)
		li.dataset.name = name
		list.append(li)
	}
	$('alerts').hidden = !list.childElementCount
}

function rows(body, list) {
	body.replaceChildren(...list.map((cells) => make('tr', {}, ...cells.map((c) => make('td', {}, c)))))
}
const link = (text, onclick) => make('button', { type: 'button', className: 'link', onclick }, text)

function top({ channels, clients }) {
	if (!$('channels').contains(document.activeElement)) rows($('channels'), channels.map((c) => [link(c.channel, () => inspect(c.channel)), short(c.messages), short(c.deliveries), short(c.subscribers)]))
	if (!$('clients').contains(document.activeElement)) rows($('clients'), clients.map((c) => [c.userId || 'anonymous', c.address, short(c.queued / 1024) + ' KiB', kick(c.connectionId)]))
	$('nochannels').hidden = channels.length > 0
	$('noclients').hidden = clients.length > 0
}

// ---- the API ----

async function ask(method, path, body) {
	const r = await fetch(path, { method, headers: body && { 'content-type': 'application/json' }, body: body && JSON.stringify(body) })
	const answer = await r.json().catch(() => ({}))
	if (!r.ok) throw Object.assign(new Error(answer.title ?? 'HTTP ' + r.status), { status: r.status })
	return answer
}

function kick(connectionId) {
	const b = make('button', { type: 'button' }, 'Disconnect')
	b.onclick = async () => {
		const { disconnected } = await ask('POST', '/v1/disconnect', { connectionId }).catch(() => ({}))
		b.textContent = disconnected ? 'Gone' : 'Was gone'
		b.disabled = true
	}
	return b
}

let inspected = ''
async function inspect(name) {
	inspected = $('name').value = name
	const path = '/v1/channels/' + encodeURIComponent(name)
	const none = () => ({})
	const [state, log, presence, followers] = await Promise.all([ask('GET', path).catch(none), ask('GET', path + '/history?limit=50').catch(none), ask('GET', path + '/presence').catch(none), ask('GET', '/followers?channel=' + encodeURIComponent(name)).catch(none)])
	if (name !== inspected) return
	$('inspected').hidden = false
	$('position').textContent = state.position ? `at ${state.position.seq} of epoch ${state.position.epoch}` : 'There is no such channel now; it comes into being when somebody follows it or publishes to it.'
	const items = Object.entries(state.state ?? {}).flatMap(([group, all]) => Object.entries(all).map(([key, data]) => [make('code', {}, group + '/' + key), make('code', {}, text(data))]))
	rows($('items'), items.length ? items.slice(0, 200) : [['None']])
	const users = presence.users ?? []
	$('members').replaceChildren(...(users.length ? users.slice(0, 100).map((u) => make('span', {}, u.name || u.id)) : ['Nobody']))
	$('log').replaceChildren(...(log.changes ?? []).reverse().map((c) => make('li', {}, make('span', { className: 'muted' }, String(c.seq)), c.op, make('code', {}, [c.group && c.group + '/' + c.key, c.op !== 'delete' && text(c.data)].filter(Boolean).join('  ')))))
	rows($('followers'), (followers.followers ?? []).map((f) => [f.userId || 'anonymous', f.address, f.transport, 'since ' + new Date(f.since).toLocaleTimeString(), kick(f.connectionId)]))
	$('howmany').textContent = followers.count ?? 0
}
const text = (data) => {
	const s = typeof data === 'string' ? data : JSON.stringify(data) ?? ''
	return s.length > 400 ? s.slice(0, 400) + '…' : s
}

$('inspect').onsubmit = (e) => {
	e.preventDefault()
	inspect($('name').value)
}
$('name').onfocus = async () => {
	const { channels = [] } = await ask('GET', '/v1/channels?limit=200').catch(() => ({}))
	$('known').replaceChildren(...channels.map((c) => make('option', { value: c.channel })))
}
$('publish').onsubmit = async (e) => {
	e.preventDefault()
	let data = $('data').value
	try {
		data = JSON.parse(data)
	} catch {
		// it goes out as text
	}
	try {
		const { position } = await ask('POST', '/v1/publish', { channel: inspected, data, key: $('key').value || undefined })
		$('answer').textContent = 'change ' + position.seq
		inspect(inspected)
	} catch (err) {
		$('answer').textContent = err.message
	}
}
$('letters').onclick = async () => {
	try {
		const { webhooks } = await ask('GET', '/v1/webhooks')
		const list = await Promise.all(webhooks.map(async (w) => {
			const dead = w.dead ? (await ask('GET', '/v1/channels/' + encodeURIComponent('webhook:dead:' + w.name)).catch(() => ({}))).state ?? {} : {}
			const letters = Object.values(dead).flatMap((g) => Object.entries(g)).slice(-50)
			return make('div', {}, make('h3', {}, `${w.name}: ${w.state}, ${w.waiting} waiting, ${w.dead} dead`), make('ol', { className: 'scroll' }, ...letters.map(([id, letter]) => make('li', {}, make('code', {}, id + '  ' + text(letter))))))
		}))
		$('webhooks').replaceChildren(...(list.length ? list : [make('p', { className: 'none' }, 'No webhooks are configured.')]))
	} catch (err) {
		$('webhooks').replaceChildren(make('p', { className: 'none' }, err.status === 404 ? 'The system webhook is not on.' : err.message))
	}
}

draw()
connect()
