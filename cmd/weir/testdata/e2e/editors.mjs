// Editors of documents on the clients of others, unmodified: npm sharedb, npm yjs over y-websocket, npm
// @codemirror/collab. What is not the client's is here: how its connection is made, and random edits.
import { createRequire } from 'node:module'
import { EditorState, ChangeSet, Text } from '@codemirror/state'
import { collab, receiveUpdates, sendableUpdates, getSyncedVersion } from '@codemirror/collab'
import * as Y from 'yjs'
import { WebsocketProvider } from 'y-websocket'
import WebSocket from 'ws'
import { base, token } from './lib.mjs'

const require = createRequire(import.meta.url)
const ShareDB = require('sharedb/lib/client')
export const textType = require('ot-text-unicode').type
ShareDB.types.register(textType)
/** What ShareDB's client found odd of what it was sent. */
export const warnings = []
ShareDB.logger.setMethods({ info() {}, warn(...words) { warnings.push(words.join(' ')) }, error: console.error })

const protocols = ['weir', 'token.' + token]
const address = (path, from = base) => from.replace('http', 'ws') + '/documents/' + path
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
export const call = (f) => new Promise((done, fail) => f((err, x) => (err ? fail(err) : done(x))))

/** Waits until something is so. */
export async function until(f, what, ms = 10_000) {
  const end = Date.now() + ms
  while (!(await f())) {
    if (Date.now() > end) throw new Error(`${what} did not happen`)
    await sleep(10)
  }
}

/** Numbers of a small generator, so that a run can be had again. */
export function generator(seed = Number(process.env.E2E_SEED ?? 1)) {
  return (n) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 4294967296) * n)
  }
}

/** A document of ShareDB. With back, its connection is made again whenever it is lost. */
export class ShareEditor {
  constructor(id, { from, back = false } = {}) {
    this.from = from
    this.again = back
    this.socket = this.open()
    this.connection = new ShareDB.Connection(this.socket)
    this.connection.on('error', (err) => { throw err })
    this.doc = this.connection.get('notes', id)
  }
  open() {
    const socket = new WebSocket(address('sharedb', this.from), protocols)
    socket.on('error', () => {}) // cut off before it was open
    socket.on('close', () => { if (this.again && socket === this.socket) setTimeout(() => this.back(), 20) })
    return socket
  }
  /** Breaks the connection off, and answers when the client knows. */
  async leave() {
    const gone = new Promise((done) => this.socket.addEventListener('close', done))
    this.socket.terminate()
    await gone
  }
  back() {
    if (this.ended) return
    this.socket = this.open()
    this.connection.bindToSocket(this.socket)
  }
  end() {
    this.ended = true
    this.connection.close()
  }
}

/** A document of Yjs. */
export class YjsEditor {
  constructor(room, name, { from } = {}) {
    this.doc = new Y.Doc()
    this.provider = new WebsocketProvider(address('yjs', from), room, this.doc, {
      WebSocketPolyfill: WebSocket, protocols, disableBc: true, maxBackoffTime: 100, resyncInterval: -1,
    })
    this.name = name
    this.provider.awareness.setLocalStateField('user', { name })
  }
  states() { return [...this.provider.awareness.getStates().values()].map((s) => s.user?.name).sort() }
}

const read = (updates) => updates.map((u) => ({ changes: ChangeSet.fromJSON(u.changes), clientID: u.clientID }))

/** A document of CodeMirror's collab on a small connection of ours: it pushes what it has, and rebases when somebody else was faster. */
export class CodeMirrorEditor {
  constructor(id, clientID, { from, back = false } = {}) {
    Object.assign(this, { id, clientID, from, again: back })
    this.connect()
  }
  connect() {
    if (this.ended) return
    const resume = this.state ? `?epoch=${this.epoch}&version=${this.version}` : ''
    this.pushing = false
    const ws = (this.ws = new WebSocket(address(`opaque/${this.id}${resume}`, this.from), protocols))
    ws.on('error', () => {}) // cut off before it was open
    ws.on('close', () => { if (this.again && ws === this.ws) setTimeout(() => this.connect(), 20) })
    ws.on('message', (data) => { if (ws === this.ws) this.receive(JSON.parse(data)) })
  }
  receive(m) {
    switch (m.type) {
      case 'document':
        this.epoch = m.epoch
        const begun = m.snapshot || (this.state && this.version > 0) // or it stands where the document began
        if (m.snapshot !== undefined && (begun || !this.state)) {
          if (this.state) this.lost = true // it has to start again, without what it had
          const version = m.snapshot?.version ?? 0
          this.state = EditorState.create({
            doc: Text.of((m.snapshot?.doc ?? '').split('\n')), extensions: [collab({ startVersion: version, clientID: this.clientID })],
          })
        }
        this.state = receiveUpdates(this.state, read(m.updates)).state
        this.ready = true
        return this.push()
      case 'updates': {
        const skip = this.version - m.version
        this.state = receiveUpdates(this.state, read(m.updates.slice(skip))).state
        if (this.idle || m.id === this.pushed) this.pushing = false
        return this.push()
      }
      case 'rejected': // somebody was faster: their updates are on the way, or here
        this.pushing = false
        if (this.version >= m.version) this.push()
        return
      case 'error':
        if (!m.retryable) throw new Error(JSON.stringify(m))
        this.pushing = false
        setTimeout(() => this.push(), 50)
        return
    }
  }
  push() {
    const updates = this.state ? sendableUpdates(this.state) : []
    if (this.pushing || updates.length === 0 || this.ws.readyState !== WebSocket.OPEN) return
    this.pushing = true
    this.pushed = `${this.clientID}:${(this.pushes = (this.pushes ?? 0) + 1)}`
    const list = updates.map((u) => ({ clientID: u.clientID, changes: u.changes.toJSON() }))
    this.ws.send(JSON.stringify({ type: 'push', id: this.pushed, version: this.version, updates: list }))
  }
  edit(from, to, insert) {
    this.state = this.state.update({ changes: { from, to, insert } }).state
    this.push()
  }
  get version() { return getSyncedVersion(this.state) }
  get text() { return this.state.doc.toString() }
  get idle() { return this.ready && sendableUpdates(this.state).length === 0 }
  end() {
    this.ended = true
    this.ws.close()
  }
}
