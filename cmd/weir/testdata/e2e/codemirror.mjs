// npm @codemirror/collab, unmodified, on a small connection of ours: editors push what they have, and rebase when
// somebody else was faster.
import { EditorState, ChangeSet, Text } from '@codemirror/state'
import { collab, receiveUpdates, sendableUpdates, getSyncedVersion } from '@codemirror/collab'
import WebSocket from 'ws'
import { base, token, equal } from './lib.mjs'

let state = Number(process.env.E2E_SEED ?? 1)
const random = (n) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor((state / 4294967296) * n)
}
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
async function until(f, what) {
  const end = Date.now() + 10_000
  while (!f()) {
    if (Date.now() > end) throw new Error(`${what} did not happen`)
    await sleep(5)
  }
}
const id = 'cm' + process.pid
const read = (updates) => updates.map((u) => ({ changes: ChangeSet.fromJSON(u.changes), clientID: u.clientID }))

class Editor {
  constructor(clientID) {
    this.clientID = clientID
    this.connect()
  }
  connect() {
    const from = this.state ? `?epoch=${this.epoch}&version=${getSyncedVersion(this.state)}` : ''
    this.pushing = false
    const ws = (this.ws = new WebSocket(`${base.replace('http', 'ws')}/documents/opaque/${id}${from}`, ['weir', 'token.' + token]))
    ws.on('error', () => {}) // cut off before it was open
    ws.on('message', (data) => { if (ws === this.ws) this.receive(JSON.parse(data)) })
  }
  receive(m) {
    switch (m.type) {
      case 'document':
        this.epoch = m.epoch
        if (m.snapshot !== undefined) {
          const version = m.snapshot?.version ?? 0
          this.state = EditorState.create({
            doc: Text.of((m.snapshot?.doc ?? '').split('\n')), extensions: [collab({ startVersion: version, clientID: this.clientID })],
          })
        }
        this.state = receiveUpdates(this.state, read(m.updates)).state
        this.ready = true
        return this.push()
      case 'updates': {
        const skip = getSyncedVersion(this.state) - m.version
        this.state = receiveUpdates(this.state, read(m.updates.slice(skip))).state
        if (sendableUpdates(this.state).length === 0 || m.id === this.pushed) this.pushing = false
        return this.push()
      }
      case 'rejected': // somebody was faster: their updates are on the way, or here
        this.pushing = false
        if (getSyncedVersion(this.state) >= m.version) this.push()
        else this.retry = m.version
        return
      case 'snapshot_wanted':
        this.wanted = true
        return
      case 'error':
        throw new Error(JSON.stringify(m))
    }
  }
  push() {
    const updates = this.state ? sendableUpdates(this.state) : []
    if (this.pushing || updates.length === 0 || this.ws.readyState !== WebSocket.OPEN) return
    this.pushing = true
    this.pushed = `${this.clientID}:${random(1e9)}`
    const list = updates.map((u) => ({ clientID: u.clientID, changes: u.changes.toJSON() }))
    this.ws.send(JSON.stringify({ type: 'push', id: this.pushed, version: getSyncedVersion(this.state), updates: list }))
  }
  edit() {
    const n = this.state.doc.length
    const from = random(n + 1)
    const to = random(3) === 0 ? Math.min(n, from + random(4)) : from
    this.state = this.state.update({ changes: { from, to, insert: ['a', 'bc ', '\n', 'ü'][random(4)] } }).state
    this.push()
  }
  get idle() { return this.ready && sendableUpdates(this.state).length === 0 }
}

const editors = ['a', 'b', 'c', 'd'].map((x) => new Editor(x))
await until(() => editors.every((e) => e.ready), 'all are there')
for (let round = 0; round < 90; round++) {
  for (const e of editors) {
    if (random(3) > 0) e.edit()
    if (random(50) === 0) { e.ws.terminate(); e.connect() }
  }
  await sleep(6)
}
const settled = () => editors.every((e) => e.idle && getSyncedVersion(e.state) === getSyncedVersion(editors[0].state))
await until(settled, 'everything is confirmed')
const want = editors[0].state.doc.toString()
for (const e of editors) equal(e.state.doc.toString(), want, `editor ${e.clientID}`)

// A snapshot, and a late joiner who starts from it.
const version = getSyncedVersion(editors[0].state)
editors[0].ws.send(JSON.stringify({ type: 'snapshot', version, doc: want }))
editors[1].edit()
await until(settled, 'the edit behind the snapshot is confirmed')
const late = new Editor('late')
await until(() => late.ready, 'the late joiner is there')
equal([getSyncedVersion(late.state), late.state.doc.toString()], [version + 1, editors[1].state.doc.toString()], 'the late joiner')
for (const e of [...editors, late]) e.ws.close()
console.log('ok')
process.exit(0)
