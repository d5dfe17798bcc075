// What the demos share: who you are, the status of the connection, and the source beside the demo.
import { connect } from '/weir.js'

/** Makes an element: make('li', { className: 'x' }, 'text', another). Text only: what others wrote never becomes markup. */
export function make(tag, props = {}, ...children) {
	const el = Object.assign(document.createElement(tag), props)
	el.append(...children)
	return el
}
export const $ = (id) => document.getElementById(id)

/** Somebody, the same for as long as the tab lives. ?user=ann makes you ann. */
export const me = (() => {
	const names = ['Ada', 'Alan', 'Barbara', 'Claude', 'Donald', 'Edsger', 'Frances', 'Grace', 'Hedy', 'John', 'Katherine', 'Radia']
	const asked = new URLSearchParams(location.search).get('user')
	const kept = JSON.parse(sessionStorage.getItem('me') ?? 'null')
	const name = names[Math.floor(Math.random() * names.length)]
	const who = asked ? { id: asked, name: asked[0].toUpperCase() + asked.slice(1) } : kept ?? { id: name.toLowerCase() + '-' + Math.random().toString(36).slice(2, 6), name }
	sessionStorage.setItem('me', JSON.stringify(who))
	return who
})()

/** A token of yours. Your backend would make it; here the relay itself does. */
export const token = async () => (await (await keyed(`/demo/token?user=${encodeURIComponent(me.id)}&name=${encodeURIComponent(me.name)}`)).json()).token

/** A client of the relay that this page came from. */
export function client(options) {
	const weir = connect(location.origin, { token, ...options })
	weir.on('status', ({ status, reason }) => say(status, reason))
	say('connecting')
	addEventListener('pagehide', () => weir.close())
	return weir
}

/** Asks the relay over HTTP as this user, and for half a minute again while it says that it may work later: when a node of several has gone, another is there soon. */
export async function ask(weir, method, path, body) {
	for (const end = Date.now() + 30_000; ; await later()) {
		try {
			return await askOnce(weir, method, path, body)
		} catch (err) {
			if ((err.status && !err.retryable) || Date.now() > end) throw err
		}
	}
}

/** Asks the relay once: what is not to be done twice. */
export async function askOnce(weir, method, path, body) {
	const headers = { authorization: 'Bearer ' + (await weir.token()), 'content-type': 'application/json' }
	const r = await fetch(path, { method, headers, body: JSON.stringify(body) })
	const answer = await r.json().catch(() => ({}))
	if (!r.ok) throw Object.assign(new Error(answer.error ?? answer.title ?? r.status), { status: r.status, retryable: answer.retryable ?? r.status >= 500 })
	return answer
}

/**
 * Asks as a backend does: with an API key, which in development mode is "dev". It is never in a page of yours. What has an id is sent again for half a minute
 * when there is no answer, or the relay says that it may work later: the id makes it one.
 */
export async function backend(path, body) {
	for (const end = Date.now() + 30_000; ; await later()) {
		const answer = await keyed(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }).catch((err) => err)
		if (body.id && (answer instanceof Error || answer.status >= 500) && Date.now() < end) continue
		if (answer instanceof Error) throw answer
		return answer
	}
}
const later = () => new Promise((done) => setTimeout(done, 300 + 700 * Math.random()))

let asking // a promise, while you are asked for the key

/** Asks with the API key, and asks you for it if it is another: that of --dev-api-key. */
export async function keyed(path, options) {
	const key = sessionStorage.getItem('key') ?? 'dev'
	const r = await fetch(path, { ...options, headers: { ...options?.headers, authorization: 'Bearer ' + key } })
	if (r.status !== 401) return r
	await (asking ??= askKey(key))
	return keyed(path, options)
}
function askKey(refused) {
	const form = make('form', { className: 'card pad row key' })
	const field = make('input', { type: 'password', autocomplete: 'off', required: true, ariaLabel: 'API key' })
	form.append(make('p', { className: 'grow' }, refused === 'dev' ? 'This relay has an API key of its own: that of --dev-api-key, or WEIR_DEV_API_KEY.' : 'The relay does not take this key.'), field, make('button', { className: 'primary' }, 'Use it'))
	document.querySelector('header').after(form)
	field.focus()
	return new Promise((done) => form.onsubmit = (e) => {
		e.preventDefault()
		sessionStorage.setItem('key', field.value)
		form.remove()
		asking = undefined
		done()
	})
}

/** The colour of a user, everywhere. */
export const colour = (id) => `hsl(${[...id].reduce((h, c) => (h * 31 + c.codePointAt(0)) % 360, 7)} 52% 42%)`
export function avatar(id, name = id, small = '') {
	const el = make('span', { className: 'avatar ' + small, title: name, ariaHidden: 'true' }, name.slice(0, 2))
	el.style.background = colour(id)
	return el
}

function say(status, reason = '') {
	const pill = $('status')
	pill.dataset.state = status
	pill.textContent = { open: 'Live', connecting: 'Connecting', waiting: 'Reconnecting', closed: 'Closed' }[status]
	pill.title = reason
}

// ---- the frame of the page ----

const pages = { '': 'Demos', chat: 'Chat', document: 'Document', feed: 'Feed', notify: 'Notifications', wall: 'Analytics', answer: 'Answer', break: 'Break it' }
const here = location.pathname.split('/')[2] ?? ''
const logo = new DOMParser().parseFromString('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="9"/><path d="M5 12c4-4 7 4 11 0s7 4 11 0M5 20c4-4 7 4 11 0s7 4 11 0"/></svg>', 'image/svg+xml').documentElement
const nav = make('nav', { ariaLabel: 'Demos' })
for (const [path, name] of Object.entries(pages)) {
	const a = make('a', { href: '/demo' + (path && '/' + path) }, name)
	if (path === here) a.setAttribute('aria-current', 'page')
	nav.append(a)
}
const pill = make('span', { id: 'status', className: 'pill', role: 'status', hidden: !here })
document.body.prepend(make('header', {}, make('a', { href: '/' }, logo, 'weir'), nav, make('span', { className: 'muted', hidden: !here }, 'you are ' + me.name), pill))

nav.querySelector('[aria-current]')?.scrollIntoView({ inline: 'center', block: 'nearest' })

// The source of the demo, as it runs.
if ($('source')) {
	const code = await (await fetch(`/demo/${here}.js`)).text()
	const pre = make('pre', { tabIndex: 0 })
	const parts = /(\/\/.*)|('(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|\b(import|from|export|const|let|function|async|await|for|of|if|else|return|new|class|try|catch|typeof|in|while)\b/g
	let at = 0
	for (const m of code.matchAll(parts)) {
		pre.append(code.slice(at, m.index), make('span', { className: m[1] ? 'c' : m[2] ? 's' : 'k' }, m[0]))
		at = m.index + m[0].length
	}
	pre.append(code.slice(at))
	const lines = code.trimEnd().split('\n').length
	$('source').append(make('details', { open: innerWidth > 980 }, make('summary', {}, here + '.js', make('span', { className: 'muted' }, lines + ' lines')), pre))
}
