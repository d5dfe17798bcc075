import { inject, onScopeDispose, shallowRef, toValue, watch, type App, type InjectionKey, type MaybeRefOrGetter, type ShallowRef } from 'vue'
import { actions, channelSource, documentSource, statusSource, users, type ChannelActions, type ChannelSnapshot, type DocumentSnapshot, type Source } from './store'
import type { Change, Position, Status, User, Weir } from './weir.js'
import type { Edit } from './weir-documents.js'

export type { ChannelActions, ChannelSnapshot, DocumentSnapshot }

const client: InjectionKey<Weir> = Symbol('weir')

/** A plugin that gives the components of an app their client: app.use(weirPlugin, connect(...)). */
export const weirPlugin = { install: (app: App, weir: Weir): void => void app.provide(client, weir) }

/** The client of the app. */
export function useWeir(): Weir {
  const weir = inject(client, undefined)
  if (!weir) throw new Error('weir-client/vue: the app has no client: app.use(weirPlugin, connect(...))')
  return weir
}

type Name = MaybeRefOrGetter<string | undefined>

/** A value that follows a source, which may become another one, while the component is there. On a server nothing is followed. */
function useSource<T, H, R>(source: () => Source<T, H>, pick: (value: T) => R, also?: (source: Source<T, H>) => (() => void) | undefined): Readonly<ShallowRef<R>> {
  const value = shallowRef(pick(source().get())) as ShallowRef<R>
  let release = () => {}
  watch(source, (now) => {
    release()
    if (typeof window === 'undefined') return
    const off = now.subscribe(() => (value.value = pick(now.get())))
    const more = also?.(now)
    release = () => {
      more?.()
      off()
    }
    value.value = pick(now.get())
  }, { immediate: true, flush: 'sync' })
  onScopeDispose(() => release())
  return value
}

/** How the connection stands. */
export function useStatus(): Readonly<ShallowRef<Status>> {
  const weir = useWeir()
  return useSource(() => statusSource(weir, ''), () => weir.status)
}

const named = <T, H>(make: (weir: Weir, name: string | undefined) => Source<T, H>, weir: Weir, name: Name, prefix = '') => {
  let was: string | undefined
  let source = make(weir, undefined)
  return () => {
    const now = toValue(name)
    if (now !== was) source = make(weir, (was = now) === undefined ? undefined : prefix + now)
    return source
  }
}

const late = (weir: Weir, name: Name): ChannelActions => ({
  set: (...x) => actions(weir, toValue(name)).set(...x),
  delete: (...x) => actions(weir, toValue(name)).delete(...x),
  publish: (...x) => actions(weir, toValue(name)).publish(...x),
  history: (...x) => actions(weir, toValue(name)).history(...x),
})

/** Follows a channel while the component is there; the name may be a ref or a getter. */
export function useChannel<S = any>(name: Name): { channel: Readonly<ShallowRef<ChannelSnapshot<S>>> } & ChannelActions<S> {
  const weir = useWeir()
  return { channel: useSource(named(channelSource, weir, name), (s) => s), ...late(weir, name) }
}

/** Follows one item of a channel: its data, undefined if there is none, and how to set it. Undefined deletes the item. */
export function useItem<T = any>(name: Name, group: string, key: string): {
  item: Readonly<ShallowRef<T | undefined>>
  set(value: T | undefined, options?: { ttl?: number }): Promise<Position>
} {
  const weir = useWeir()
  const can = late(weir, name)
  return {
    item: useSource(named(channelSource, weir, name), (s) => s.state.get(group)?.get(key) as T | undefined),
    set: (value, options) => (value === undefined ? can.delete(group, key) : can.set(group, key, value, options)),
  }
}

/** Calls f with each change of a channel while the component is there: events, too. Each once, however often the connection breaks. */
export function useChange<S = any, E = any>(name: Name, f: (change: Change<S, E>) => void): void {
  const weir = useWeir()
  useSource(named(channelSource, weir, name), () => undefined, (source) => source.handle()?.on('change', (c) => f(c as Change<S, E>)))
}

/** Who follows a channel now. */
export function usePresence(name: Name): Readonly<ShallowRef<readonly User[]>> {
  return useSource(named(channelSource, useWeir(), name, 'presence:'), users)
}

/** Opens a shared document while the component is there. */
export function useDocument(id: Name): { document: Readonly<ShallowRef<DocumentSnapshot>>; edit(list: Edit[]): void; cursor(position: number, anchor?: number): void } {
  const weir = useWeir()
  const handle = () => documentSource(weir, toValue(id)).handle()
  return { document: useSource(named(documentSource, weir, id), (s) => s), edit: (list) => handle()?.edit(list), cursor: (...x) => handle()?.cursor(...x) }
}
