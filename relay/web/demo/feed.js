import { $, backend, client, make, me } from './demo.js'

// The channel of the user's feed, over Server-Sent Events.
const feed = client({ transport: 'sse' }).channel('feed:' + me.id)
const icons = { post: '✏️', like: '❤️', follow: '👋', sale: '🛒' }
const seen = new Set()

function show({ type, id, data }) {
	if (seen.has(id)) return
	seen.add(id)
	const text = make('div', { className: 'grow' }, make('b', {}, data.text), make('p', { className: 'muted' }, `${data.author} · ${new Date(data.at).toLocaleTimeString()}`))
	const li = make('li', { className: 'fresh' }, make('span', { className: 'icon', ariaHidden: 'true' }, icons[type] ?? '•'), text)
	li.dataset.id = id
	$('feed').prepend(li)
	while ($('feed').childElementCount > 200) $('feed').lastElementChild.remove()
	$('count').textContent = seen.size + (seen.size === 1 ? ' item' : ' items')
	$('none').hidden = true
}

feed.on('change', (c) => show(c.data))
// Items are events, which a snapshot does not hold: the log has those from before.
feed.on('sync', async ({ recovered }) => {
	if (!recovered) for (const c of (await feed.history({ limit: 50 })).changes) show(c.data)
})

// ---- the other side: what a backend does ----

let count = 0
const post = (type, text, author) => backend('/v1/feed/' + encodeURIComponent(me.id), { type, id: crypto.randomUUID(), data: { text, author, at: Date.now() } })

$('post').onsubmit = (e) => {
	e.preventDefault()
	post('post', $('what').value || 'Something happened', 'backend')
	$('what').value = ''
}
let busy
$('start').onclick = () => {
	const [first, ...rest] = [['like', 'Grace likes your post'], ['follow', 'Alan follows you'], ['sale', 'Order paid'], ['post', 'Ada wrote something new']]
	const all = [first, ...rest]
	clearInterval(busy)
	busy = busy ? 0 : setInterval(() => {
		const [type, text] = all[count++ % all.length]
		post(type, `${text} (${count})`, 'busy backend').catch(() => {})
	}, 200)
	$('start').textContent = busy ? 'Stop it' : 'Start a busy backend'
	$('start').setAttribute('aria-pressed', String(!!busy))
}
