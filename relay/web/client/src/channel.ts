import { entries, stringify } from './short'
import { emitter, type On } from './emitter'
import type { Message } from './wire'

/** Where in a channel's log something stands. */
export interface Position {
  epoch: string
  seq: number
}

/** One change of a channel. */
export interface Change {
  seq: number
  op: 'set' | 'delete' | 'send'
  group?: string
  key?: string
  data?: any
  /** Why an item was deleted: "expired", or "resync" for one that a snapshot does not hold any more. */
  cause?: string
}

/** Someone who follows a channel. */
export interface User {
  id: string
  name: string
  avatar: string
  status: string
  joinedAt: number
  connections: number
}

/** What a publication is, beside its data. */
export interface Publication {
  op?: 'set' | 'delete' | 'send'
  group?: string
  key?: string
  /** Milliseconds that a set item lives. */
  ttl?: number
  idempotencyKey?: string
}

export interface ChannelEvents {
  /** Something is different now. Each change is told once, however often the connection broke. */
  change: Change
  /** The channel is followed (again). Lost: events may have been missed; items are right in any case. */
  sync: { recovered?: boolean; lost?: boolean }
  /** The channel can not be followed, or not any more. */
  error: { code: string; message?: string; reason?: string }
}

/** A channel that is followed. */
export interface Channel {
  readonly name: string
  /** The live items: data by group and key. */
  readonly state: Map<string, Map<string, any>>
  /** Where the state stands; kept, it lets another program go on from there. */
  readonly position: Position | undefined
  on: On<ChannelEvents>
  /** The data of an item. */
  get(group: string, key: string): any
  /** Publishes a change; with a key it sets that item. It is sent again after a lost connection, and done once. */
  publish(data: unknown, p?: Publication): Promise<Position>
  /** Changes from the log, the newest page first, each in order. */
  history(page?: { before?: number; limit?: number }): Promise<{ changes: Change[]; more: boolean }>
  /** Who follows the channel now. To see them come and go, follow the channel "presence:NAME". */
  presence(): Promise<User[]>
  /** Ends following. */
  close(): void
}

/** The inner side of a channel. */
export interface Inner extends Channel {
  take_(c: Change): void
  stand_(m: Message): void
  lost_(m: Message): void
  /** What the state holds is what the relay has. */
  live_: boolean
}

const each = (state: Channel['state'], f: (group: string, key: string, data: any) => void) =>
  state.forEach((items, group) => items.forEach((data, key) => f(group, key, data)))

export function channel(name: string, from: Position | undefined, ask: (m: Message) => Promise<Message>, unique: () => string, close: () => void): Inner {
  const [on, tell] = emitter<ChannelEvents>()
  const state: Channel['state'] = new Map()
  let position = from && { ...from }
  const show = (c: Change) => {
    const { op, group, key } = c
    const items = state.get(group!)
    if (op === 'set') state.set(group!, (items ?? new Map()).set(key!, c.data))
    if (op === 'delete' && items?.delete(key!) && !items.size) state.delete(group!)
  }
  const self: Inner = {
    name,
    state,
    get position() {
      return position
    },
    on,
    get: (group, key) => state.get(group)?.get(key),
    publish: async (data, p) => (await ask({ type: 'publish', channel: self.name, data, idempotencyKey: unique(), ...p })).position,
    history: (page) => ask({ type: 'history', channel: self.name, ...page }) as never,
    presence: async () => (await ask({ type: 'presence', channel: self.name })).users,
    close,
    live_: false,
    take_(c) {
      if (!self.live_ || c.seq <= position!.seq) return // it is had already, or part of the answer to come
      position!.seq = c.seq
      show(c)
      tell('change', c)
    },
    stand_(m) {
      self.live_ = true
      const { seq } = m.position
      if (m.recovered) m.changes.forEach(self.take_)
      else {
        // The state is to be that of a snapshot; the differences are told as changes.
        const changes: Change[] = []
        const fresh: Channel['state'] = new Map(entries(m.state).map(([group, items]) => [group, new Map(entries(items as object))]))
        each(state, (group, key) => fresh.get(group)?.has(key) || changes.push({ seq, op: 'delete', group, key, cause: 'resync' }))
        each(fresh, (group, key, data) => stringify(self.get(group, key)) === stringify(data) || changes.push({ seq, op: 'set', group, key, data }))
        position = m.position
        changes.forEach(show)
        changes.forEach((c) => tell('change', c))
      }
      if (position!.seq < seq) position = m.position
      tell('sync', m as never)
    },
    lost_(m) {
      self.live_ = false
      tell('error', m as never)
    },
  }
  return self
}
