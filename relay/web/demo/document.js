import { openDocument, textarea } from '/weir-documents.js'
import { $, avatar, client, colour, make } from './demo.js'

const id = new URLSearchParams(location.search).get('doc') ?? 'demo'
const doc = openDocument(client(), id)
$('name').textContent = id

// That is all: what is typed goes out, what others type comes in.
textarea(doc, $('text'))

doc.on('status', ({ status }) => {
	$('saved').textContent = status !== 'open' ? 'offline: kept here' : doc.saved ? 'saved' : 'saving'
	$('status').dataset.state = status
	$('status').textContent = status === 'open' ? 'Live' : 'Reconnecting'
})
doc.on('change', ({ local }) => local && ($('saved').textContent = 'saving'))

// A relay that keeps nothing on disk has begun the document anew: what it had is still here.
let lost = ''
doc.on('lost', ({ text }) => {
	lost = text
	$('gone').hidden = false
})
$('again').onclick = () => doc.edit([{ from: 0, to: 0, insert: lost }])
doc.on('change', () => doc.text.includes(lost) && ($('gone').hidden = true)) // by whom it was put back does not matter

const moved = new Map() // by connection: where its caret was seen last, and since when; its label fades

// Where others are is painted on a copy of the text that lies behind the textarea.
function paint() {
	const cursors = [...doc.cursors.values()]
	const marks = [] // what stands where; the later ones are behind it
	for (const { connectionId, name, userId, position, selection } of cursors) {
		if (moved.get(connectionId)?.position !== position) moved.set(connectionId, { position, since: performance.now() })
		const caret = make('b', { className: doc.text.lastIndexOf('\n', position - 1) < 0 ? 'low' : '' })
		caret.dataset.name = name || userId
		caret.style.setProperty('--since', moved.get(connectionId).since - performance.now() + 'ms')
		caret.style.setProperty('--who', colour(userId))
		marks.push({ from: position, to: position, el: caret })
		if (selection) {
			const mark = make('mark')
			mark.style.setProperty('--who', colour(userId))
			marks.push({ from: selection.start, to: selection.end, el: mark })
		}
	}
	marks.sort((a, b) => a.from - b.from || a.to - b.to)
	let at = 0
	const parts = []
	for (const { from, to, el } of marks) {
		if (from < at) continue // within a selection that is painted already
		parts.push(doc.text.slice(at, from), el)
		el.textContent = doc.text.slice(from, to)
		at = to
	}
	$('ghost').replaceChildren(...parts, doc.text.slice(at) + '\n')
	$('ghost').scrollTop = $('text').scrollTop
	$('people').replaceChildren(...new Map(cursors.map((c) => [c.userId, avatar(c.userId, c.name || c.userId, 'small')])).values())
}
doc.on('cursors', paint)
doc.on('change', paint)
$('text').onscroll = () => ($('ghost').scrollTop = $('text').scrollTop)
