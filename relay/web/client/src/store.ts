import type { Channel, ChannelEvents, Off, State, User, Weir } from './weir.js'
import type { Cursor, Doc } from './weir-documents.js'
import type { Status } from './weir.js'
// What components see of channels and documents: values that stay the same until something is different. All that look at one
// channel share one subscription, which ends a moment after the last of them has gone.

/** A channel as it is now. */
export interface ChannelSnapshot<S = any> {
  /** The live items, by group and key; each map is the same one until something in it is different. */
  readonly state: State<S>
  /** The items have arrived. */
  readonly ready: boolean
  /** Why the channel is not followed, if the relay has refused it. */
  readonly error: ChannelEvents['error'] | undefined
}

/** A document as it is now. */
export interface DocumentSnapshot {
  readonly text: string
  /** The text has arrived. */
  readonly ready: boolean
  /** The token lets one edit it. */
  readonly writable: boolean
  readonly status: Status
  /** What was edited here has reached the relay. */
  readonly saved: boolean
  /** Others' cursors, by connection. */
  readonly cursors: ReadonlyMap<string, Cursor>
}

/** Something that is looked at: its value, and to be told of another one. */
export interface Source<T, H> {
  get(): T
  subscribe(f: () => void): Off
  /** What is behind it; none unless somebody has subscribed. */
  handle(): H | undefined
}

const linger = 1000 // ms for which something is kept that nobody looks at: components that go may be about to come again

interface Entry<T, H> {
  value: T
  handle: H
  close: () => void
  listeners: Set<() => void>
  timer?: any
}

/** Makes sources: one entry for each client and name, however many look at it. */
function sources<T, H>(none: T, open: (weir: Weir, name: string, show: (value: T) => void) => [handle: H, value: T, close: () => void]) {
  const all = new WeakMap<Weir, Map<string, Entry<T, H>>>()
  return (weir: Weir, name: string | undefined): Source<T, H> => {
    const entries = all.get(weir) ?? new Map<string, Entry<T, H>>()
    all.set(weir, entries)
    const find = () => (name === undefined ? undefined : entries.get(name))
    return {
      get: () => find()?.value ?? none,
      handle: () => find()?.handle,
      subscribe(f) {
        if (name === undefined) return () => {}
        let e = entries.get(name)
        if (!e) {
          const listeners = new Set<() => void>()
          const [handle, value, close] = open(weir, name, (value) => {
            mine.value = value
            for (const f of [...listeners]) f()
          })
          const mine: Entry<T, H> = (e = { handle, value, close, listeners })
          entries.set(name, mine)
        }
        const mine = e
        const told = () => f() // one for each subscription, though f may be the same
        clearTimeout(mine.timer)
        mine.listeners.add(told)
        return () => {
          if (!mine.listeners.delete(told) || mine.listeners.size) return
          mine.timer = setTimeout(() => {
            entries.delete(name)
            mine.close()
          }, linger)
        }
      },
    }
  }
}

const noChannel: ChannelSnapshot = { state: new Map() as never, ready: false, error: undefined }

export const channelSource = sources<ChannelSnapshot, Channel>(noChannel, (weir, name, show) => {
  const channel = weir.channel(name)
  let ready = false
  let error: ChannelSnapshot['error']
  const value = () => ({ state: channel.state, ready, error })
  channel.on('state', () => show(value()))
  channel.on('sync', () => {
    if (ready) return
    ready = true
    show(value())
  })
  channel.on('error', (e) => {
    ready = false
    error = e
    show(value())
  })
  return [channel, value(), channel.close]
})

const nobody: readonly User[] = []
const lists = new WeakMap<object, readonly User[]>()
/** The users of a snapshot of "presence:NAME", the same list for the same items. */
export const users = ({ state }: ChannelSnapshot): readonly User[] => {
  const items = state.get('users')
  if (!items) return nobody
  let list = lists.get(items)
  if (!list) lists.set(items, (list = [...items.values()]))
  return list
}

const noDocument: DocumentSnapshot = { text: '', ready: false, writable: false, status: 'connecting', saved: true, cursors: new Map() }

export const documentSource = sources<DocumentSnapshot, Doc>(noDocument, (weir, id, show) => {
  const doc = weir.document(id)
  const value = (): DocumentSnapshot => ({ text: doc.text, ready: doc.ready, writable: doc.writable, status: doc.status, saved: doc.saved, cursors: new Map(doc.cursors) })
  for (const event of ['change', 'cursors', 'status', 'lost'] as const) doc.on(event, () => show(value()))
  return [doc, value(), () => doc.close()]
})

export const statusSource = sources<Status, Weir>('connecting', (weir, _name, show) => [weir, weir.status, weir.on('status', ({ status }) => show(status))])

/** Does what a component asks of a channel: by the one that is followed, and otherwise by one for that alone. */
export const withChannel = <R>(weir: Weir, name: string | undefined, f: (c: Channel) => Promise<R>): Promise<R> => {
  if (name === undefined) return Promise.reject(new Error('there is no channel'))
  const followed = channelSource(weir, name).handle()
  if (followed) return f(followed)
  const own = weir.channel(name)
  return f(own).finally(own.close)
}

/** What components do with a channel, beside looking at it. */
export interface ChannelActions<S = any> {
  /** Sets an item: here at once, and then for all. If the relay refuses, it is undone, and the promise is rejected. */
  set: Channel<S>['set']
  /** Deletes an item, likewise. */
  delete: Channel<S>['delete']
  publish: Channel<S>['publish']
  history: Channel<S>['history']
}

export const actions = (weir: Weir, name: string | undefined): ChannelActions => ({
  set: (...x) => withChannel(weir, name, (c) => c.set(...x)),
  delete: (...x) => withChannel(weir, name, (c) => c.delete(...x)),
  publish: (...x) => withChannel(weir, name, (c) => c.publish(...x)),
  history: (...x) => withChannel(weir, name, (c) => c.history(...x)),
})
