import { $, ask, backend, client, make } from './demo.js'

const weir = client()
const kept = 120 // seconds
const shown = {
	'weir.connections': ['Connections', ''], 'weir.published': ['Published', '/s'], 'weir.delivered': ['Delivered', '/s'], 'weir.batching': ['Messages a frame', ''],
	'weir.latency/p99': ['Latency, p99', 'ms'], 'weir.memory': ['Memory', 'MiB'], 'user.action': ['User actions', '/s'],
}
const tiles = new Map(Object.entries(shown).map(([name, [title, unit]]) => {
	const t = { name, values: new Map(), number: make('output'), canvas: make('canvas') } // values by second
	const card = make('figure', { className: 'card pad tile' }, make('figcaption', { className: 'muted' }, make('span', {}, title), make('span', {}, unit)), t.number, t.canvas)
	card.dataset.metric = name
	$('tiles').append(card)
	return [name, t]
}))
let last = 0 // the second that is told last

// Only those with the role admin may look.
weir.live('/analytics/live', (m) => {
	if (m.type === 'snapshot') {
		history(m.data)
		$('alerts').replaceChildren()
		m.data.alerts.forEach(alert)
	}
	if (m.type === 'metric_update') take(`${m.data.type}.${m.data.action}${m.data.name ? '/' + m.data.name : ''}`, m.data.timestamp / 1000, m.data.value)
	if (m.type === 'alert') alert(m.data)
}, (status) => ($('status').dataset.state = status))

// What was before the page was opened, or while the connection was away.
async function history({ timestamp, gauges }) {
	for (const [name, t] of tiles) t.gauge = name in gauges // one that is not told is not known; a count is 0
	for (const name in gauges) take(name, timestamp / 1000, gauges[name])
	const query = Object.keys(shown).map((name) => 'metric=' + encodeURIComponent(name)).join('&')
	const { from, metrics } = await ask(weir, 'GET', `/analytics/history?span=${kept}&step=1&${query}`)
	for (const name in metrics) metrics[name].value.forEach((v, i) => v != null && take(name, from / 1000 + i, v))
}

function take(name, second, value) {
	const t = tiles.get(name)
	if (!t) return
	t.values.set(second, name === 'weir.memory' ? value / 2 ** 20 : value)
	last = Math.max(last, second)
	for (const s of t.values.keys()) if (s <= last - kept) t.values.delete(s)
	draw()
}

let drawing = false
function draw() {
	if (drawing) return
	drawing = true
	requestAnimationFrame(() => {
		drawing = false
		for (const t of tiles.values()) plot(t)
	})
}
new ResizeObserver(draw).observe($('tiles'))

function plot({ canvas, number, values, gauge }) {
	const first = Math.min(...values.keys())
	const of = (s) => values.get(s) ?? (gauge || s < first ? null : 0)
	const now = of(last)
	number.textContent = now == null ? '–' : now >= 100 ? Math.round(now).toLocaleString() : (+now.toFixed(now < 10 ? 2 : 1)).toLocaleString()
	const { clientWidth: w, clientHeight: h } = canvas
	Object.assign(canvas, { width: w * devicePixelRatio, height: h * devicePixelRatio })
	const g = canvas.getContext('2d')
	g.scale(devicePixelRatio, devicePixelRatio)
	g.strokeStyle = g.fillStyle = getComputedStyle(canvas).color
	g.lineWidth = 2
	g.lineJoin = g.lineCap = 'round'
	const most = Math.max(...values.values(), 1e-9) * 1.1
	const x = (s) => w - ((last - s) * w) / (kept - 1)
	let run = [] // of values without a gap
	const end = () => {
		g.globalAlpha = 1
		g.beginPath()
		for (const [at, v] of run) g.lineTo(at, h - 2 - (v / most) * (h - 4))
		if (run.length === 1) g.lineTo(run[0][0] + 0.1, h - 2 - (run[0][1] / most) * (h - 4))
		g.stroke()
		if (run.length) g.lineTo(run.at(-1)[0], h)
		if (run.length) g.lineTo(run[0][0], h)
		g.globalAlpha = 0.12
		g.fill()
		run = []
	}
	for (let s = last - kept + 1; s <= last; s++) {
		const v = of(s)
		if (v == null) end()
		else run.push([x(s), v])
	}
	end()
}

function alert({ name, state, message }) {
	const old = [...$('alerts').children].find((li) => li.dataset.name === name)
	const li = make('li', {}, message ?? name)
	Object.assign(li.dataset, { name, state })
	if (old) old.replaceWith(li)
	else $('alerts').prepend(li)
	$('calm').hidden = true
}

// ---- the other side: what a backend counts ----

const count = (n) => backend('/v1/events', { topic: 'user.action', data: { value: n } })
$('click').onclick = () => count(1)
$('burst').onclick = () => count(100)
