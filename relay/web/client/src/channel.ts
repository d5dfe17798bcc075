import { Emitter } from './emitter'
import type { Weir } from './client'
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
  data?: any // eslint-disable-line
  /** Why an item was deleted: "expired", or "resync" for one that a snapshot does not hold any more. */
  cause?: string
  /** The change is the difference to a snapshot: there may have been others in between. */
  snapshot?: boolean
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

export interface ChannelOptions {
  /** Only items and changes of these groups. */
  groups?: string[]
  /** Where the program stands already: it is told what came after. */
  position?: Position
}

export type ChannelEvents = {
  /** Something is different now; each change is told once, however often the connection broke. */
  change: Change
  /** The channel is followed (again). Lost: events may have been missed; items are right in any case. */
  sync: { recovered: boolean; lost: boolean }
  /** The channel can not be followed, or not any more. */
  error: { code: string; message: string }
}

/** A channel that is followed. */
export class Channel extends Emitter<ChannelEvents> {
  /** The live items: data by group and key. */
  readonly state = new Map<string, Map<string, any>>() // eslint-disable-line
  position: Position | undefined
  /** What the state holds is what the relay has. */
  live = false
  /** @internal */ groups_: string[] | undefined

  /** @internal */
  constructor(public readonly client: Weir, public readonly name: string, options: ChannelOptions = {}) {
    super()
    this.position = options.position
    this.groups_ = options.groups
  }

  /** The data of an item. */
  get(group: string, key: string): any { // eslint-disable-line
    return this.state.get(group)?.get(key)
  }

  /** Publishes a change; with a key it sets that item. Sent again after a lost connection, and done once. */
  async publish(data: unknown, p: Publication = {}): Promise<Position> {
    const m = { type: 'publish', channel: this.name, data, idempotencyKey: this.client.unique_(), ...p }
    return (await this.client.command(m)).position
  }

  /** Changes from the log, the newest page first, each in order. */
  async history(o: { before?: number; limit?: number } = {}): Promise<{ changes: Change[]; more: boolean }> {
    return (await this.client.command({ type: 'history', channel: this.name, ...o })) as any // eslint-disable-line
  }

  /** Who follows the channel now. To follow who comes and goes, follow the channel "presence:NAME". */
  async presence(): Promise<User[]> {
    return (await this.client.command({ type: 'presence', channel: this.name })).users
  }

  /** Ends following. */
  close(): void {
    this.client.forget_(this)
  }

  /** @internal */
  take_(c: Change): void {
    if (!this.live || !this.position || c.seq <= this.position.seq) return // had it
    this.position.seq = c.seq
    if (this.groups_ && !this.groups_.includes(c.group!)) return
    this.apply_(c)
    this.tell_('change', c)
  }

  /** @internal */
  apply_({ op, group, key, data }: Change): void {
    const items = this.state.get(group!)
    if (op === 'set') (items ?? this.state.set(group!, new Map()).get(group!)!).set(key!, data)
    if (op === 'delete' && items?.delete(key!) && !items.size) this.state.delete(group!)
  }

  /** @internal The answer to a subscription, or a resync. */
  stand_(m: Message): void {
    const { epoch, seq } = m.position as Position
    this.live = true
    if (m.recovered) {
      for (const c of m.changes) this.take_(c)
      this.position = { epoch, seq: Math.max(seq, this.position!.seq) }
    } else this.replace_(m.state, (this.position = { epoch, seq }).seq)
    this.tell_('sync', { recovered: !!m.recovered, lost: !!m.lost })
  }

  /** @internal The state is to be that of a snapshot; the differences are told as changes. */
  replace_(state: Record<string, Record<string, unknown>>, seq: number): void {
    const changes: Change[] = []
    for (const [group, items] of this.state)
      for (const key of items.keys())
        if (!Object.hasOwn(state[group] ?? {}, key) || !Object.hasOwn(state, group))
          changes.push({ seq, op: 'delete', group, key, cause: 'resync', snapshot: true })
    for (const [group, items] of Object.entries(state)) {
      if (this.groups_ && !this.groups_.includes(group)) continue
      for (const [key, data] of Object.entries(items))
        if (JSON.stringify(this.get(group, key)) !== JSON.stringify(data)) changes.push({ seq, op: 'set', group, key, data, snapshot: true })
    }
    for (const c of changes) this.apply_(c)
    for (const c of changes) this.tell_('change', c)
  }
}
