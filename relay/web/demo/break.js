import { $, backend, client, keyed, make, me } from './demo.js'

// ---- a network that can be broken ----

const pause = (ms) => new Promise((done) => setTimeout(done, ms))
const sockets = new Set()
let lag = 0 // ms

/** A WebSocket that can be cut as a network does it, without a word, and that can be slow. */
class Breakable extends WebSocket {
	#in = Promise.resolve()
	#out = Promise.resolve()
	constructor(...x) {
		super(...x)
		sockets.add(this)
		this.addEventListener('close', () => sockets.delete(this))
	}
	set onmessage(hear) {
		super.onmessage = hear && ((e) => (this.#in = this.#later(this.#in, () => hear(e))))
	}
	send(text) {
		this.#out = this.#later(this.#out, () => sockets.has(this) && super.send(text))
	}
	/** Does something when its time has come, and what came before it is done. */
	async #later(before, act) {
		const due = performance.now() + lag
		await before
		if (due > performance.now()) await pause(due - performance.now())
		act()
	}
	cut() {
		const { onclose } = this
		this.onmessage = this.onclose = null
		sockets.delete(this)
		this.close()
		onclose?.({ code: 1006, reason: 'cut' })
	}
}

// ---- a backend that counts, and a client that listens ----

const weir = client({ WebSocket: Breakable })
const room = weir.channel('demo:break-' + me.id)
const seen = []
const heard = [] // when each number came
let sent = 0
let refused = [] // why, since the last one that was taken
room.on('change', ({ data }) => {
	if (data?.n === undefined) return
	seen.push(data.n)
	heard[data.n] ??= performance.now()
	$('last').textContent = data.n
})
async function count() {
	const n = sent + 1
	const r = await backend('/v1/publish', { channel: room.name, idempotencyKey: room.name + n + '.' + performance.timeOrigin, data: { n } }).catch(() => ({}))
	if (r.ok) sent = n
	else refused.push(r.status ? `${r.status} ${(await r.json()).code}` : 'no answer')
	setTimeout(count, 500)
}
/** The next of what a channel or a client tells that fits. */
const next = (from, event, fits = () => true) => new Promise((done) => {
	const off = from.on(event, (x) => {
		if (!fits(x)) return
		off()
		done(x)
	})
})
const sync = () => next(room, 'sync')
const away = () => next(weir, 'status', ({ status }) => status !== 'open')
await sync()
count()
setInterval(() => {
	const missed = sent - new Set(seen).size, twice = seen.length - new Set(seen).size
	$('gaps').textContent = `${missed > 2 ? missed + ' missed or on their way' : 'none missed'}, ${twice || 'none'} twice`
}, 250)

// ---- the faults ----

const until = async (fits) => {
	while (!fits()) await pause(50)
}
/** Has all that was published by now arrived? */
const caughtUp = () => until(((n) => () => new Set(seen).size >= n)(sent))
const seconds = (since) => ((performance.now() - since) / 1000).toFixed(1) + ' s'
const back = async ({ recovered, lost }, had, since) => {
	await pause(0) // what was missed is told before
	return recovered
		? `resumed at position ${room.position.seq} after ${seconds(since)}, with ${((n) => n + (n === 1 ? ' missed number' : ' missed numbers'))(seen.length - had)}: no gap.`
		: `sent a snapshot after ${seconds(since)}${lost ? ', and said that events may be lost' : ''}.`
}

const faults = {
	cut: ['Cut my connection', async (client, relay) => {
		const since = performance.now(), had = seen.length, again = sync()
		sockets.forEach((s) => s.cut())
		client('saw its connection end without a word (1006), and is trying again.')
		relay(await back(await again, had, since))
	}],
	lose: ['Lose the log', async (client, relay) => {
		const since = performance.now(), had = seen.length, again = sync(), { epoch } = room.position
		await keyed('/v1/channels/' + room.name, { method: 'DELETE' })
		const s = await again
		client(s.lost ? 'was told that events may be lost (lost: true); items are right in any case.' : 'was told nothing of it.')
		relay(`forgot the channel and began another log (epoch ${epoch} is now ${room.position.epoch}); it ${await back(s, had, since)}`)
	}],
	expire: ['Expire my token', async (client, relay) => {
		const { token } = await (await keyed(`/demo/token?user=${encodeURIComponent(me.id)}&ttl=2`)).json()
		const again = sync(), ended = away()
		await weir.command({ type: 'refresh', token })
		client('has a token now that is good for 2 s, and does not renew it.')
		const { reason } = await ended
		const since = performance.now(), had = seen.length
		client(`was sent away: ${reason}. It asks for another token.`)
		relay(await back(await again, had, since))
	}],
	lag: ['3 s of lag', async (client, relay) => {
		const { connectionId } = weir, from = sent + 1
		lag = 3000
		client('gets everything 3 s later from now on, and what it says takes as long.')
		await until(() => heard[from + 4])
		lag = 0
		await caughtUp()
		client(`has heard ${from} to ${sent}, in their order, late and none of them twice.`)
		relay(weir.connectionId === connectionId ? 'kept the connection: a slow answer is an answer.' : 'has another connection now.')
	}],
	slow: ['Be slow', async (client, relay) => {
		const pile = weir.channel('pile:' + me.id)
		await next(pile, 'sync')
		const again = sync(), ended = away(), had = seen.length
		await keyed(`/demo/hold?connection=${weir.connectionId}&ms=20000`, { method: 'POST' })
		client('takes nothing any more. The backend goes on, with 64 KB at a time.')
		let pieces = 0, end
		ended.then((s) => (end = s))
		while (!end && pieces++ < 100) await backend('/v1/publish', { channel: pile.name, data: 'x'.repeat(64_000) })
		const { reason } = await ended
		const since = performance.now()
		relay(`let ${(pieces * 0.064).toFixed(1)} MB wait for it, gave up on it, and said why: ${reason}.`)
		const s = await again
		client('came back.')
		relay(await back(s, had, since))
		pile.close()
		await keyed('/v1/channels/' + pile.name, { method: 'DELETE' })
	}],
	disk: ['Fill the disk', async (client, relay) => {
		refused = []
		const since = performance.now(), from = sent
		const r = await keyed('/demo/disk?full=5000', { method: 'POST' })
		if (!r.ok) return relay((await r.json()).title + '.')
		relay('has a disk that is full for 5 s. What is published in this channel is to be kept there.')
		await until(() => refused.length && sent > from)
		const [why, times] = [[...new Set(refused)].join(', '), refused.length]
		relay(`told the backend ${times} times that it cannot keep the next number: ${why}. The backend tried again, with the same idempotency key, and the number was taken after ${seconds(since)}.`)
		await caughtUp()
		client('has noticed nothing but the silence: no number was missed, none came twice.')
	}],
}
for (const [name, [title, run]] of Object.entries(faults)) {
	const button = make('button', { id: name, className: 'primary' }, title)
	const log = make('ol', { role: 'log', ariaLabel: title })
	const say = (who) => (text) => log.append(make('li', {}, make('b', {}, who + ' '), text))
	button.onclick = async () => {
		for (const b of document.querySelectorAll('#faults button')) b.disabled = true
		log.replaceChildren()
		delete log.dataset.done
		await run(say('The client'), say('The relay')).catch((err) => say('Nothing came of it:')(err.message))
		log.dataset.done = 'yes'
		for (const b of document.querySelectorAll('#faults button')) b.disabled = false
	}
	$('faults').append(make('li', { className: 'pad' }, button, log))
}
