/** Ends what it was returned for. */
export type Off = () => void

/** Emitter tells whoever listens. What a listener throws is its own problem, and reported as such. */
export class Emitter<E extends Record<string, unknown>> {
  /** @internal */ heard_: Partial<{ [K in keyof E]: Set<(value: E[K]) => void> }> = {}

  /** Calls f whenever the event happens, until the returned function is called. */
  on<K extends keyof E>(event: K, f: (value: E[K]) => void): Off {
    const all = (this.heard_[event] ??= new Set())
    all.add(f)
    return () => void all.delete(f)
  }

  /** @internal */
  tell_<K extends keyof E>(event: K, value: E[K]): void {
    for (const f of [...(this.heard_[event] ?? [])]) {
      try {
        f(value)
      } catch (err) {
        queueMicrotask(() => {
          throw err
        })
      }
    }
  }
}
