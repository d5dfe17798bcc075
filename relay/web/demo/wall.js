import { $, backend, client, make } from './demo.js'

const weir = client()
const kept = 120 // seconds
const tiles = new Map() // by metric
const shown = {
	'weir.connections': ['Connections', ''], 'weir.published': ['Published', '/s'], 'weir.delivered': ['Delivered', '/s'], 'weir.batching': ['Messages a frame', ''],
	'weir.latency/p99': ['Latency, p99', 'ms'], 'weir.memory': ['Memory', 'MiB'], 'user.action': ['User actions', '/s'],
}

// Only those with the role admin may look.
weir.live('/analytics/live', (m) => {
	if (m.type === 'snapshot') {
		for (const name in shown) take(name, m.data.gauges[name] ?? 0)
		$('alerts').replaceChildren()
		m.data.alerts.forEach(alert)
	}
	if (m.type === 'metric_update') take(`${m.data.type}.${m.data.action}${m.data.name ? '/' + m.data.name : ''}`, m.data.value)
	if (m.type === 'alert') alert(m.data)
}, (status) => ($('status').dataset.state = status))

function take(name, value) {
	if (!shown[name]) return
	if (name === 'weir.memory') value /= 2 ** 20
	let t = tiles.get(name)
	if (!t) {
		const [title, unit] = shown[name]
		t = { values: [], number: make('output'), canvas: make('canvas'), unit }
		const card = make('figure', { className: 'card pad tile' }, make('figcaption', { className: 'muted' }, make('span', {}, title), make('span', {}, unit)), t.number, t.canvas)
		card.dataset.metric = name
		tiles.set(name, t)
		$('tiles').append(card)
	}
	t.values.push(value)
	if (t.values.length > kept) t.values.shift()
	t.number.textContent = value >= 100 ? Math.round(value).toLocaleString('en') : +value.toFixed(value < 10 ? 2 : 1)
	requestAnimationFrame(() => draw(t))
}

function draw({ canvas, values }) {
	const { clientWidth: w, clientHeight: h } = canvas
	const scale = devicePixelRatio
	Object.assign(canvas, { width: w * scale, height: h * scale })
	const g = canvas.getContext('2d')
	const most = Math.max(...values, 1e-9) * 1.1
	const at = (i) => [w - ((values.length - 1 - i) * w) / (kept - 1), h - 2 - (values[i] / most) * (h - 4)]
	g.scale(scale, scale)
	g.strokeStyle = g.fillStyle = getComputedStyle(canvas).color
	g.lineWidth = 2
	g.lineJoin = 'round'
	g.beginPath()
	values.forEach((_, i) => g.lineTo(...at(i)))
	g.stroke()
	g.lineTo(w, h)
	g.lineTo(at(0)[0], h)
	g.globalAlpha = 0.12
	g.fill()
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
