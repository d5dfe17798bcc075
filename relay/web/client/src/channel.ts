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
  /** The channel cannot be followed, or not any more: ask for it again to try once more. */
  error: { code: string; message?: string; reason?: string }
}

/** The live items of a channel: data by group and key. */
export type State = ReadonlyMap<string, ReadonlyMap<string, any>>

/** A channel as one part of a program follows it. It is followed until the last of them has closed it. */
export interface Channel {
  readonly name: string
  /** The live items. It is another value after each change of them, and the one there was stays as it is. */
  readonly state: State
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
  /** Ends following, for whoever got this channel; others who got one of that name go on. */
  close(): void
}

/** What is known of a channel that is followed, for all who follow it. */
export interface Followed {
  name_: string
  /** What the relay says of it is taken: it has said where it begins. */
  live_: boolean
  /** The id of the subscribe that has been sent. */
  asked_: string
  position_(): Position | undefined
  take_(c: Change): void
  stand_(m: Message): void
  lost_(m: { code: string }): void
  /** The channel for one more. */
  join_(): Channel
}

const each = (state: State, f: (group: string, key: string, data: any) => void) =>
  state.forEach((items, group) => items.forEach((data, key) => f(group, key, data)))

export function followed(name: string, from: Position | undefined, ask: (m: Message) => Promise<Message>, ended: () => void): Followed {
  const users = new Set<(event: keyof ChannelEvents, value: any) => void>()
  const tell = (event: keyof ChannelEvents, value: any) => [...users].forEach((u) => users.has(u) && u(event, value))
  let position = from && { epoch: from.epoch, seq: from.seq }
  let state = new Map<string, Map<string, any>>()
  // The maps that nobody has seen, and that therefore may change.
  let own = new WeakSet()
  const mine = <M extends Map<any, any>>(m: M | undefined): M => {
    if (!m || !own.has(m)) own.add((m = new Map(m) as M))
    return m
  }
  const show = ({ op, group, key, data }: Change) => {
    if (op === 'send') return
    let items = state.get(group!)
    if (op === 'delete' && !items?.has(key!)) return
    state = mine(state)
    state.set(group!, (items = mine(items)))
    if (op === 'set') items.set(key!, data)
    else if (items.delete(key!) && !items.size) state.delete(group!)
  }
  const self: Followed = {
    name_: name,
    live_: false,
    asked_: '',
    position_: () => position,
    take_(c) {
      if (!self.live_ || c.seq <= position!.seq) return // it is had already, or part of the answer to come
      position = { epoch: position!.epoch, seq: c.seq }
      show(c)
      tell('change', c)
    },
    stand_({ position: to, recovered, changes, state: items, lost }) {
      self.live_ = true
      if (recovered) {
        // The epoch may be another one, in which the log goes on: after a crash.
        position = { epoch: to.epoch, seq: position?.seq ?? 0 }
        changes.forEach(self.take_)
        if (self.live_) position = to
      } else {
        // The state is to be that of a snapshot; the differences are told as changes.
        const { seq } = (position = to as Position)
        const differences: Change[] = []
        const fresh: State = new Map(entries(items).map(([group, items]) => [group, new Map(entries(items as object))]))
        each(state, (group, key) => fresh.get(group)?.has(key) || differences.push({ seq, op: 'delete', group, key, cause: 'resync' }))
        each(fresh, (group, key, data) => stringify(state.get(group)?.get(key)) === stringify(data) || differences.push({ seq, op: 'set', group, key, data }))
        differences.forEach(show)
        differences.forEach((c) => tell('change', c))
      }
      tell('sync', { recovered, lost })
    },
    lost_(m) {
      self.live_ = false
      tell('error', m)
    },
    join_() {
      const [on, say] = emitter<ChannelEvents>()
      users.add(say)
      // Who comes later hears that the channel is followed, too.
      if (self.live_) queueMicrotask(() => self.live_ && users.has(say) && say('sync', {}))
      return {
        get name() {
          return self.name_
        },
        get state() {
          own = new WeakSet()
          return state
        },
        get position() {
          return position
        },
        on,
        get: (group, key) => state.get(group)?.get(key),
        publish: async (data, p) => (await ask({ ...p, type: 'publish', channel: self.name_, data })).position,
        history: (page) => ask({ ...page, type: 'history', channel: self.name_ }) as never,
        presence: async () => (await ask({ type: 'presence', channel: self.name_ })).users,
        close() {
          if (users.delete(say) && !users.size) ended()
        },
      }
    },
  }
  return self
}
