// The dashboard at "/" of the admin listener: weir's own figures and the API of backends.
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
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumSignificantDigits: 3 })
const plain = [2, 1, 0].map((maximumFractionDigits) => new Intl.NumberFormat(undefined, { maximumFractionDigits }))
const short = (n) => (n == null ? '–' : n >= 1e4 ? compact.format(n) : plain[n < 10 ? 0 : n < 100 ? 1 : 2].format(n))
const clock = (t, seconds) => new Date(t * 1000).toLocaleTimeString(undefined, { hour: 'numeric', minute: '2-digit', second: seconds ? '2-digit' : undefined })
const mib = (n) => n / 2 ** 20

// ---- an hour of figures: an array of values by name, each as long as times; null: not known ----

const hour = 3600
const times = [] // seconds
const figures = new Map()
const now = (name) => figures.get(name)?.at(-1)

// add takes what came after the last second. What lies between, as while the relay was down, is not known.
function add({ from, series }) {
	const names = Object.keys(series)
	const n = series[names[0]].length
	if (!n || from + n - 1 <= (times.at(-1) ?? 0)) return
	for (const name of names) if (!figures.has(name)) figures.set(name, times.map(() => null))
	const grow = (t, value) => {
		times.push(t)
		for (const [name, values] of figures) values.push(value(name))
	}
	for (let t = Math.max((times.at(-1) ?? from) + 1, from - hour); t < from; t++) grow(t, () => null)
	for (let i = 0; i < n; i++) if (from + i > (times.at(-1) ?? 0)) grow(from + i, (name) => series[name]?.[i] ?? null)
	const over = times.length - hour
	if (over > 0) for (const values of [times, ...figures.values()]) values.splice(0, over)
}

// ---- what is drawn ----

const tiles = [
	['Connections', '', () => now('connections')], ['Published', '/s', () => now('published')], ['Delivered', '/s', () => now('delivered')],
	['Messages a frame', '', () => now('batching')], ['Latency, p99', 'ms', () => now('latency/p99')], ['Memory', 'MiB', () => mib(now('memory') ?? 0)],
	['CPU', 'cores', () => now('cpu')], ['Channels', '', () => now('channels')],
].map(([title, unit, value]) => {
	const out = make('output')
	$('tiles').append(make('div', {}, make('span', { className: 'muted' }, title), out))
	return () => out.replaceChildren(short(value()), make('small', {}, unit))
})

const plots = [
	['Connections', [['all', 'connections', 'accent'], ['WebSocket', 'sessions/ws', 'blue'], ['SSE', 'sessions/sse', 'violet']]],
	['Messages a second', [['published', 'published', 'accent'], ['delivered', 'delivered', 'blue']]],
	['Messages a frame', [['mean', 'batching', 'accent']]],
	['Latency, ms', [['p50', 'latency/p50', 'good'], ['p99', 'latency/p99', 'warn'], ['p99.9', 'latency/p999', 'bad']]],
	['Drops a second', [['slow', 'drops/slow', 'bad'], ['stalled', 'drops/stalled', 'warn'], ['rate', 'drops/ratelimit', 'violet'], ['resync', 'drops/resync', 'blue'], ['shed', 'drops/shed', 'accent'], ['refused', 'drops/refused', 'good']]],
	['CPU, cores', [['used', 'cpu', 'accent']]],
	['Memory, MiB', [['in use', 'memory', 'accent']]],
	['Waiting for slow clients, MiB', [['queued', 'queued', 'warn']]],
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
			width: p.box.clientWidth || 400, height: 170, padding: [null, 30, null, null], legend: { show: false }, cursor: { drag: { x: false, y: false }, points: { size: 6 } },
			scales: { y: { range: (_, min, max) => [0, max > 0 ? max * 1.1 : 1] } },
			axes: [{ ...axis, space: 84, values: (_, ticks, i, space, step) => ticks.map((t) => clock(t, step < 60)) }, { ...axis, size: 52, values: (_, ticks) => ticks.map(short) }],
			series: [{}, ...p.series.map(([label, , c]) => ({ label, stroke: colour(c), width: 1.6, points: { show: true, size: 3, filter: alone, fill: colour(c), width: 0 }, ...(p.series.length === 1 && { fill: colour(c, 0.14) }) }))],
		}, data(p), p.box)
	}
}
const data = (p) => {
	const from = Math.max(0, times.length - span)
	return [times.slice(from), ...p.series.map(([, name]) => {
		const values = (figures.get(name) ?? []).slice(from)
		return p.title.endsWith('MiB') ? values.map((v) => v == null ? null : mib(v)) : values
	})]
}
// A value between two gaps has no line: it is shown as a point.
function alone(u, s, show, gaps) {
	const values = u.data[s]
	return values.flatMap((v, i) => (v != null && values[i - 1] == null && values[i + 1] == null ? [i] : []))
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

// ---- asking once a second: what is asked here is counted nowhere ----

function say(state, text) {
	$('status').dataset.state = document.body.dataset.state = state
	$('status').textContent = text
}
const wait = (ms) => new Promise((then) => setTimeout(then, ms))
async function follow() {
	for (let tries = 0; ;) {
		try {
			const r = await fetch('/figures?after=' + (times.at(-1) ?? 0), { signal: AbortSignal.timeout(5000) })
			if (!r.ok) throw new Error((await r.text()).trim() || 'HTTP ' + r.status)
			const f = await r.json()
			tries = 0
			say('open', 'Live')
			about(f.relay)
			nodes(f)
			add(f)
			top(f)
			if (!plots[0].plot && times.length) build()
			if (f.relay.systems.includes('analytics')) alerts(await ask('GET', '/v1/channels/analytics:state/alerts').catch(() => ({})))
			draw()
			await wait(1000 - (f.relay.now % 1000) + 40) // just after the next second
		} catch (err) {
			say('off', err instanceof TypeError || err.name === 'TimeoutError' ? 'Not connected' : err.message)
			await wait(Math.min(500 * 2 ** tries++, 5000) * (0.5 + Math.random() / 2))
		}
	}
}

const ago = (ms) => {
	const s = Math.floor(ms / 1000), two = (n, unit, m, less) => `${n} ${unit}` + (m ? ` ${m} ${less}` : '')
	return s < 60 ? `${s} s` : s < 3600 ? two(Math.floor(s / 60), 'min', s % 60, 's') : s < 86400 ? two(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min') : two(Math.floor(s / 86400), 'd', Math.floor((s % 86400) / 3600), 'h')
}
function about(r) {
	const since = new Date(r.started)
	const facts = [
		['Version', r.version === '(devel)' ? r.revision : r.version], ['Up for', ago(r.now - r.started), 'since ' + since.toLocaleString()],
		['Data', r.data || (r.replicated ? 'durable channels in the log of the cluster' : 'in memory only')], r.node && ['Node', r.node], ['Systems', r.systems.join(', ') || 'none'],
		['Memory limit', r.memoryLimit ? short(mib(r.memoryLimit)) + ' MiB' : 'none'], r.dev && ['Mode', 'development'],
	].filter(Boolean)
	if (!$('about').childElementCount && r.systems.includes('hooks')) hooks()
	if (!$('about').childElementCount) letters(r.systems.includes('webhook'))
	$('about').replaceChildren(...facts.map(([name, value, title = '']) => make('div', {}, make('dt', {}, name), make('dd', { title }, value))))
}

// The nodes of a cluster. All other figures are then of all of them together.
function nodes({ nodes: list, relay }) {
	$('cluster').hidden = !list
	if (!list) return
	const there = list.filter((n) => n.last)
	$('whole').textContent = `figures are of ${there.length === 1 ? 'one node' : `${there.length} nodes together`}, as ${relay.node} sees it`
	rows($('nodes'), list.map((n) => {
		const last = n.last ?? {}, s = n.stats ?? {}
		const fine = n.state === 'ready' || n.state === 'left'
		return [n.node, make('span', { className: fine ? '' : 'bad' }, n.state), String(n.owned), short(last.connections), short(last.published), short(last.delivered), short(s.Forwarded), short(s.Replicas),
			last.cpu == null ? '–' : short(last.cpu) + ' cores', last.memory == null ? '–' : short(mib(last.memory)) + ' MiB', n.node === relay.node ? '–' : short((n.waiting ?? 0) / 1024) + ' KiB',
			short(s.Restarts), n.stats ? `${short(s.Takeovers)}, ${short(s.Moved)}` : '–', n.started ? ago(Math.max(0, relay.now - n.started)) : '–']
	}))
	named($('cluster'))
}

// named notes beside each value its name, for where there is no room for a line.
function named(card) {
	const names = [...card.querySelectorAll('th')].map((th) => th.textContent)
	for (const row of card.querySelectorAll('tbody tr')) [...row.cells].forEach((cell, i) => (cell.dataset.name = names[i]))
}

function alerts({ state = {} }) {
	const raised = Object.values(state.alerts ?? {})
	$('alerts').lastElementChild.replaceChildren(...raised.map((a) => make('li', {}, `${a.level}: ${a.message}`)))
	$('alerts').hidden = !raised.length
}

function rows(body, list) {
	body.replaceChildren(...list.map((cells) => make('tr', {}, ...cells.map((c) => make('td', {}, c)))))
}
const link = (text, onclick) => make('button', { type: 'button', className: 'link', onclick }, text)

function top({ top: channels, slow: clients }) {
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
	if (name !== inspected) $('found').hidden = true
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
	$('log').replaceChildren(...(log.changes ?? []).reverse().map((c) => make('li', {}, link(String(c.seq), () => find(c.seq)), c.op, make('code', {}, [c.group && c.group + '/' + c.key, c.op !== 'delete' && text(c.data)].filter(Boolean).join('  ')))))
	rows($('followers'), (followers.followers ?? []).map((f) => [f.userId || 'anonymous', f.address, f.transport, 'since ' + new Date(f.since).toLocaleString(), kick(f.connectionId)]))
	$('howmany').textContent = followers.count ?? 0
}
const text = (data) => {
	const s = typeof data === 'string' ? data : JSON.stringify(data) ?? ''
	return s.length > 400 ? s.slice(0, 400) + '…' : s
}

// find says where a change of the channel is, and draws when it got how far, if it was traced.
async function find(seq) {
	$('seq').value = seq
	const channel = inspected
	const w = await ask('GET', `/trace?channel=${encodeURIComponent(channel)}&seq=${seq}`).catch((err) => ({ problem: err.message }))
	if (channel !== inspected || $('seq').value !== String(seq)) return
	const many = (n, one) => `${n} ${one}${n === 1 ? '' : 's'}`
	const way = () => {
		if (!w.followers) return 'nobody follows the channel on this node'
		if (!w.flushed) return `it is in its window, or from before the first of ${many(w.followers, 'follower')} came`
		const most = w.waiting.map((x) => `${x.userId || 'anonymous'} (${short(x.queued / 1024)} KiB)`).join(', ')
		return most ? `on its way to ${many(w.followers, 'follower')}; the most waits for ${most}` : `written to all of ${many(w.followers, 'follower')}, as far as they were there`
	}
	$('state').textContent = w.problem ?? (w.published ? `Message ${seq} is ${w.logged ? 'in the log' : 'no longer in the log'}; ${way()}.` : `There is no message ${seq}: the channel stands at ${w.head}.`)
	const steps = w.trace?.steps ?? [], whole = Math.max(...steps.map((s) => s.ms), 0.001)
	$('steps').replaceChildren(...steps.map((s, i) => {
		const before = steps[i - 1]?.ms ?? 0, bar = make('i')
		bar.style.left = `min(${(100 * before) / whole}%, 100% - 3px)` // it is 3 px wide at least
		bar.style.width = `${(100 * Math.max(0, s.ms - before)) / whole}%`
		return make('li', {}, make('span', {}, s.name), make('span', { className: 'bar' }, bar), make('output', {}, s.ms.toFixed(3) + ' ms'))
	}))
	$('traced').textContent = w.trace ? `Trace ${w.trace.traceId}, from ${new Date(w.trace.begun).toLocaleString()}` : w.published ? 'It was not traced, or too long ago.' : ''
	$('found').hidden = false
}
$('where').onsubmit = (e) => {
	e.preventDefault()
	find(+$('seq').value)
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
$('letters').onclick = () => letters(true)
async function letters(there) {
	$('letters').hidden = !there
	if (!there) return $('webhooks').replaceChildren(make('p', { className: 'none' }, 'There are no webhooks: the system "webhook" is off.'))
	try {
		const { webhooks } = await ask('GET', '/v1/webhooks')
		const list = await Promise.all(webhooks.map(async (w) => {
			const dead = w.dead ? (await ask('GET', '/v1/channels/' + encodeURIComponent('webhook:dead:' + w.name)).catch(() => ({}))).state ?? {} : {}
			const letters = Object.values(dead).flatMap((g) => Object.entries(g)).slice(-50)
			return make('div', {}, make('h3', {}, `${w.name}: ${w.state}, ${w.waiting} waiting, ${w.dead ? w.dead + ' dead' : 'no dead letters'}`), make('ol', { className: 'scroll' }, ...letters.map(([id, letter]) => make('li', {}, make('code', {}, id + '  ' + text(letter))))))
		}))
		$('webhooks').replaceChildren(...(list.length ? list : [make('p', { className: 'none' }, 'There are no webhooks.')]))
	} catch (err) {
		$('webhooks').replaceChildren(make('p', { className: 'none' }, err.message))
	}
}

// Questions to the backend, read again every five seconds while the page is seen.
async function hooks() {
	for (;; await wait(5000)) {
		if (document.hidden) continue
		const { hooks, underWay, parallel, resumed } = await ask('GET', '/v1/hooks').catch(() => ({}))
		$('hooked').hidden = !hooks
		if (!hooks) continue
		$('asking').textContent = `${underWay} of ${parallel} under way, ${short(resumed)} clients came back without one`
		rows($('hooks'), hooks.map(({ hook, breaker, questions: q, remembered, stale, answers }) => [hook, make('span', { className: breaker === 'open' ? 'bad' : '' }, breaker), short(q.allowed), short(q.refused), short(q.failed), short(q.busy + q.open), short(remembered), short(stale), short(answers)]))
		named($('hooked'))
	}
}

draw()
follow()
