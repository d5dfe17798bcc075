import { createContext, createElement, useContext, useEffect, useMemo, useRef, useSyncExternalStore, type ReactElement, type ReactNode } from 'react'
import { actions, channelSource, documentSource, statusSource, users, type ChannelActions, type ChannelSnapshot, type DocumentSnapshot, type Source } from './store'
import type { Change, Position, State, Status, User, Weir } from './weir.js'
import type { Edit } from './weir-documents.js'

export type { ChannelActions, ChannelSnapshot, DocumentSnapshot }

const Client = createContext<Weir | undefined>(undefined)

/** Gives the components within it their client. It outlives them: connect outside of components, and close it there, if at all. */
export function WeirProvider({ client, children }: { client: Weir; children?: ReactNode }): ReactElement {
  return createElement(Client.Provider, { value: client }, children)
}

/** The client of the WeirProvider around the component. */
export function useWeir(): Weir {
  const weir = useContext(Client)
  if (!weir) throw new Error('weir-client/react: there is no WeirProvider around this component')
  return weir
}

/** How the connection stands. */
export function useStatus(): Status {
  const weir = useWeir()
  const source = useMemo(() => statusSource(weir, ''), [weir])
  return useSyncExternalStore(source.subscribe, () => weir.status, () => 'connecting')
}

function useSource<T, H, R>(source: Source<T, H>, none: T, pick: (value: T) => R): R {
  return useSyncExternalStore(source.subscribe, () => pick(source.get()), () => pick(none))
}

const nothing = channelSource({} as Weir, undefined).get()

/** Follows a channel while the component is there: its items as they are now, and what can be done with it. Without a name there is none. */
export function useChannel<S = any>(name: string | undefined): ChannelSnapshot<S> & ChannelActions<S> {
  const weir = useWeir()
  const source = useMemo(() => channelSource(weir, name), [weir, name])
  const can = useMemo(() => actions(weir, name), [weir, name])
  const snapshot = useSource(source, nothing, (s) => s)
  return useMemo(() => ({ ...snapshot, ...can }), [snapshot, can])
}

/** What useItem returns: the data, undefined if there is none, and how to set it. Undefined deletes the item. */
export type Item<T> = readonly [value: T | undefined, set: (value: T | undefined, options?: { ttl?: number }) => Promise<Position>]

/** Follows one item of a channel. The component is rendered again when that is different, whatever else happens in the channel. */
export function useItem<T = any>(name: string | undefined, group: string, key: string): Item<T> {
  const weir = useWeir()
  const source = useMemo(() => channelSource(weir, name), [weir, name])
  const value = useSource(source, nothing, (s) => s.state.get(group)?.get(key) as T | undefined)
  const set = useMemo((): Item<T>[1] => {
    const can = actions(weir, name)
    return (value, options) => (value === undefined ? can.delete(group, key) : can.set(group, key, value, options))
  }, [weir, name, group, key])
  return [value, set]
}

/** Calls f with each change of a channel while the component is there: events, too. Each once, however often the connection breaks. */
export function useChange<S = any, E = any>(name: string | undefined, f: (change: Change<S, E>) => void): void {
  const weir = useWeir()
  const latest = useRef(f)
  useEffect(() => {
    latest.current = f
  })
  useEffect(() => {
    const source = channelSource(weir, name)
    const release = source.subscribe(() => {})
    const off = source.handle()?.on('change', (c) => latest.current(c as Change<S, E>))
    return () => {
      off?.()
      release()
    }
  }, [weir, name])
}

/** Who follows a channel now. */
export function usePresence(name: string | undefined): readonly User[] {
  const weir = useWeir()
  const source = useMemo(() => channelSource(weir, name === undefined ? undefined : 'presence:' + name), [weir, name])
  return useSource(source, nothing, users)
}

const blank = documentSource({} as Weir, undefined).get()

/** Opens a shared document while the component is there. */
export function useDocument(id: string | undefined): DocumentSnapshot & { edit(list: Edit[]): void; cursor(position: number, anchor?: number): void } {
  const weir = useWeir()
  const source = useMemo(() => documentSource(weir, id), [weir, id])
  const snapshot = useSource(source, blank, (s) => s)
  return useMemo(() => ({ ...snapshot, edit: (list) => source.handle()?.edit(list), cursor: (...x) => source.handle()?.cursor(...x) }), [snapshot, source])
}

export type { State }
