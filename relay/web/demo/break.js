import { $, backend, client, keyed, make, me } from './demo.js'

// ---- a network that can be broken ----

const sockets = new Set()

/** A WebSocket that can be cut as a network does it: without a word. */
class Breakable extends WebSocket {
	constructor(...x) {
		super(...x)
		sockets.add(this)
		this.addEventListener('close', () => sockets.delete(this))
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
let sent = 0
room.on('change', ({ data }) => {
	if (data?.n === undefined) return
	seen.push(data.n)
	$('last').textContent = data.n
})
async function count() {
	const n = sent + 1
	const r = await backend('/v1/publish', { channel: room.name, idempotencyKey: room.name + n + '.' + performance.timeOrigin, data: { n } }).catch(() => ({}))
	if (r.ok) sent = n
	setTimeout(count, 500)
}
const sync = () => new Promise((done) => {
	const off = room.on('sync', (s) => {
		off()
		done(s)
	})
})
await sync()
count()
setInterval(() => {
	const missed = sent - new Set(seen).size, twice = seen.length - new Set(seen).size
	$('gaps').textContent = `${missed > 2 ? missed + ' missed or on their way' : 'none missed'}, ${twice || 'none'} twice`
}, 250)

// ---- the faults ----

const pause = (ms) => new Promise((done) => setTimeout(done, ms))
const seconds = (since) => ((performance.now() - since) / 1000).toFixed(1) + ' s'
const back = async ({ recovered, lost }, had, since) => {
	await pause(0) // what was missed is told before
	return recovered
		? `resumed at position ${room.position.seq} after ${seconds(since)}, with ${seen.length - had} missed numbers: no gap.`
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
		const again = sync(), ended = new Promise((done) => {
			const off = weir.on('status', (s) => {
				if (s.status === 'open') return
				off()
				done(s)
			})
		})
		await weir.command({ type: 'refresh', token })
		client('has a token now that is good for 2 s, and does not renew it.')
		const { reason } = await ended
		const since = performance.now(), had = seen.length
		client(`was sent away: ${reason}. It asks for another token.`)
		relay(await back(await again, had, since))
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
