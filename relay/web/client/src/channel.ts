import { entries, stringify } from './short'
import { emitter, type Off, type On } from './emitter'
import type { Message } from './wire'

/** Where in a channel's log something stands. */
export interface Position {
  epoch: string
  seq: number
}

/** The groups of a schema: a type that names, by group, what the items of a channel are. */
export type Groups<S> = keyof S & string

/** One change of a channel: of an item, or an event. */
export type Change<S = any, E = any> =
  | { [G in Groups<S>]: { seq: number; op: 'set'; group: G; key: string; data: S[G]; cause?: undefined } }[Groups<S>]
  | {
      seq: number
      op: 'delete'
      group: Groups<S>
      key: string
      data?: undefined
      /** Why an item was deleted: "expired", or "resync" for one that a snapshot does not hold any more. */
      cause?: string
    }
  /** The data is what has been put behind the text of the item; channel.get has all of it. */
  | { seq: number; op: 'append'; group: Groups<S>; key: string; data: string; cause?: undefined }
  | { seq: number; op: 'send'; group?: string; key?: string; data: E; cause?: undefined }

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
  op?: 'set' | 'append' | 'delete' | 'send'
  group?: string
  key?: string
  /** Milliseconds that a set item lives. */
  ttl?: number
  /** Of an append: how many code points the text must have so far. */
  offset?: number
  idempotencyKey?: string
}

export interface ChannelEvents<S = any, E = any> {
  /** Something is different now. Each change is told once, however often the connection broke. */
  change: Change<S, E>
  /** The state is another one: after changes that came together, and after what was set here. */
  state: void
  /** The channel is followed (again). Lost: events may have been missed; items are right in any case. */
  sync: { recovered?: boolean; lost?: boolean }
  /** The channel cannot be followed, or not any more: ask for it again to try once more. */
  error: { code: string; message?: string; reason?: string }
}

/** The live items of a channel: data by group and key. */
export interface State<S = any> extends ReadonlyMap<Groups<S>, ReadonlyMap<string, S[Groups<S>]>> {
  get<G extends Groups<S>>(group: G): ReadonlyMap<string, S[G]> | undefined
}

/** A channel as one part of a program follows it. It is followed until the last of them has closed it. */
export interface Channel<S = any, E = any> {
  readonly name: string
  /** The live items. It is another value after each change of them, and the one there was stays as it is. */
  readonly state: State<S>
  /** Where the state stands; kept, it lets another program go on from there. */
  readonly position: Position | undefined
  on: On<ChannelEvents<S, E>>
  /** Calls f when the state is another one, until the returned function is called. */
  subscribe(f: () => void): Off
  /** The data of an item. */
  get<G extends Groups<S>>(group: G, key: string): S[G] | undefined
  /**
   * Sets an item: in the state at once, and then for all. If the relay refuses that the state is as if it had not been,
   * and the promise is rejected.
   */
  set<G extends Groups<S>>(group: G, key: string, data: S[G], p?: Pick<Publication, 'ttl' | 'idempotencyKey'>): Promise<Position>
  /** Deletes an item, likewise. */
  delete(group: Groups<S>, key: string): Promise<Position>
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

/** A change that was made here, and that the state of the relay may not have yet. */
interface Local {
  op: 'set' | 'delete'
  group: string
  key: string
  data?: any
  /** Where the relay has it. */
  at?: Position
}

/** Maps that nobody has seen, and that therefore may change: of any other a copy is made. */
const copier = () => {
  const own = new WeakSet()
  return <M extends Map<any, any>>(m: M | undefined): M => {
    if (!m || !own.has(m)) own.add((m = new Map(m) as M))
    return m
  }
}
type Items = Map<string, Map<string, any>>

/** The state after a change. */
const put = (state: Items, mine: ReturnType<typeof copier>, { op, group, key, data }: Change | Local): Items => {
  let items = state.get(group!)
  if (op === 'send' || (op === 'delete' && !items?.has(key))) return state
  state = mine(state)
  state.set(group, (items = mine(items)))
  if (op === 'set') items.set(key, data)
  else if (op === 'append') items.set(key, (items.get(key) ?? '') + data)
  else if (items.delete(key) && !items.size) state.delete(group)
  return state
}

const each = (state: State, f: (group: string, key: string, data: any) => void) =>
  state.forEach((items, group) => items.forEach((data, key) => f(group, key, data)))

export function followed(name: string, from: Position | undefined, ask: (m: Message) => Promise<Message>, ended: () => void): Followed {
  const users = new Set<(event: keyof ChannelEvents, value: any) => void>()
  const tell = (event: keyof ChannelEvents, value: any) => [...users].forEach((u) => users.has(u) && u(event, value))
  let position = from && { epoch: from.epoch, seq: from.seq }
  let state: Items = new Map()
  let mine = copier() // of the state
  let local: Local[] = []
  let shown: Items | undefined // the state with what is local; none: it is to be made
  let due = false // it is told soon that the state is another
  let gone = false // it is not followed, nor will it be
  const view = () => {
    const mine = copier()
    return local[0] ? (shown ??= local.reduce((s, c) => put(s, mine, c), state)) : state
  }
  const moved = () => {
    shown = undefined
    if (due) return
    due = true
    queueMicrotask(() => {
      due = false
      tell('state', undefined)
    })
  }
  const show = (c: Change) => {
    if (c.op === 'send') return
    state = put(state, mine, c)
    moved()
  }
  // What is local is forgotten once the state has it. Anew: it is that of another epoch, perhaps.
  const settle = (anew?: boolean) => {
    const rest = local.filter(({ at }) => !at || !(gone || (at.epoch === position?.epoch ? at.seq <= position.seq : anew)))
    if (rest.length < local.length) moved()
    local = rest
  }
  const change = async (c: Local, p?: object): Promise<Position> => {
    local.push(c)
    shown = undefined
    tell('state', undefined) // at once: who types sees it
    try {
      return (c.at = (await ask({ ...p, ...c, type: 'publish', channel: self.name_ })).position)
    } catch (err) {
      local = local.filter((x) => x !== c)
      moved()
      throw err
    } finally {
      settle()
    }
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
      settle()
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
      settle(true)
      tell('sync', { recovered, lost })
    },
    lost_(m) {
      self.live_ = false
      gone = true
      settle()
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
          mine = copier() // who sees it may keep it
          return view()
        },
        get position() {
          return position
        },
        on,
        subscribe: (f) => on('state', f),
        get: (group, key) => view().get(group)?.get(key),
        set: (group, key, data, p) => change({ op: 'set', group, key, data }, p),
        delete: (group, key) => change({ op: 'delete', group, key }),
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
