/** Ends what it was returned for. */
export type Off = () => void

/** Calls f whenever the event happens, until the returned function is called. */
export type On<E> = <K extends keyof E>(event: K, f: (value: E[K]) => void) => Off

/** The two ends of telling: on and tell. What a listener throws is its own problem, and reported as such. */
export function emitter<E>(): [on: On<E>, tell: <K extends keyof E>(event: K, value: E[K]) => void] {
  const heard: { [K in keyof E]?: Set<(value: E[K]) => void> } = {}
  return [
    (event, f) => {
      ;(heard[event] ??= new Set()).add(f)
      return () => void heard[event]!.delete(f)
    },
    (event, value) => {
      for (const f of heard[event] ?? []) {
        try {
          f(value)
        } catch (err) {
          if (typeof reportError === 'function') reportError(err) // Node.js has none
          else void Promise.reject(err)
        }
      }
    },
  ]
}
