import { $, backend, client, make } from './demo.js'

// What the model of the backend has to say.
export const script = [
	['What is an edge relay?', 'It stands between your backend and the browsers. The backend says something once, over plain HTTP. The relay keeps the connections of everybody who wants to hear it, orders what is said, and tells each of them.\n\nThat is all it does. It does it for one reader as for ten thousand: “naïve” backends stay naïve. 🌊'],
	['Why append?', 'A text that comes token by token would be sent whole with each token: of 1000 tokens the last one costs as much as the 999 before. An append costs what it adds.\n\nThe relay has the text so far, so who comes late, reloads, or opens the page on a phone begins with that and goes on. 📱➡️💻'],
	['And if the network breaks?', 'Each append says how many characters come before it. If the answer to one is lost, the backend sends it again: the relay refuses it, and says where the text ends. Nothing is there twice; nothing is missing. 👩‍🚀'],
]

// Questions and answers are items of one channel. weir.js gets what is new of a text, and has all of it in the state.
const thread = client().channel('demo:' + (new URLSearchParams(location.search).get('thread') ?? 'thread'))
const heard = { pieces: 0, points: 0, whole: 0 }

function show() {
	const questions = thread.state.get('questions') ?? new Map()
	const answers = thread.state.get('answers') ?? new Map()
	for (const id of new Set([...questions.keys(), ...answers.keys()])) {
		const li = document.getElementById('answer-' + id) ?? make('li', { id: 'answer-' + id, className: 'pad' }, make('b'), make('p'))
		const text = answers.get(id) ?? '', { n } = questions.get(id) ?? {}
		li.firstChild.textContent = script[n]?.[0] ?? id
		if (li.lastChild.textContent !== text) li.lastChild.textContent = text
		li.dataset.state = n === undefined || text === script[n]?.[1] ? 'done' : 'speaking'
		if (!li.isConnected) $('answers').append(li)
	}
	$('none').hidden = $('answers').childElementCount > 0
	$('heard').textContent = `${heard.pieces} pieces of text with ${heard.points} characters, and ${heard.whole} texts as they were when it came`
}
thread.on('state', show)
thread.on('change', ({ op, group, data }) => {
	if (group !== 'answers') return
	if (op === 'set') heard.whole++ // what there was before this page came
	if (op === 'append') {
		heard.pieces++
		heard.points += [...data].length
	}
	show()
})
await new Promise((done) => thread.on('sync', done))

// ---- the other side: a backend, which has a model ----

const pause = (ms) => new Promise((done) => setTimeout(done, ms))
const speaking = new Set()

/** Speaks from where the text ends. The offset is checked, so that a token that is sent twice is there once, whoever sends it. */
async function speak(id, text) {
	const points = [...text] // offsets count code points: 🙂 is one
	speaking.add(id)
	for (let offset = [...(thread.get('answers', id) ?? '')].length; offset < points.length;) {
		const token = points.slice(offset, offset + 1 + Math.floor(Math.random() * 6))
		const body = { channel: thread.name, op: 'append', group: 'answers', key: id, data: token.join(''), offset }
		const r = await backend('/v1/publish', body).catch(() => ({ status: 0 }))
		if (r.ok) offset += token.length
		else if (r.status === 409) ({ offset } = await r.json()) // the answer to an earlier try was lost, or another one speaks
		await pause(r.ok ? 60 : 500)
	}
	speaking.delete(id)
}

// Who spoke may be gone: the page was closed. One that is open goes on.
const lengths = new Map()
setInterval(() => {
	for (const [id, { n }] of thread.state.get('questions') ?? []) {
		const { length } = thread.get('answers', id) ?? ''
		if (length < script[n]?.[1].length && lengths.get(id) === length && !speaking.has(id)) speak(id, script[n][1])
		lengths.set(id, length)
	}
}, 3000)

for (const [n, [question]] of script.entries()) {
	const button = make('button', { id: 'ask-' + n, className: 'primary' }, question)
	button.onclick = async () => {
		const id = Date.now().toString(36) + Math.random().toString(36).slice(2, 6)
		await thread.set('questions', id, { n })
		await speak(id, script[n][1])
	}
	$('questions').append(button)
}
$('second').href = location.pathname + '?thread=' + thread.name.slice('demo:'.length)
$('command').textContent = `my-model | weir pub ${thread.name} --append --group answers --key mine`
show()
