import { later, never, random } from './short'
import { failure } from './queue'

/** A token, or where to get one. */
export type Source = string | (() => string | Promise<string>) | undefined

const patience = 1e4 // ms for a token to come

/** The token in use. It is kept until it is refused, or three quarters of its life are over: then another takes its place. */
export interface Tokens {
  get(): Promise<string>
  /** The relay does not take it: is there another? */
  refused(): boolean
  /** The one in use is good for so long, in ms. */
  expires(ms: number | undefined): void
  stop(): void
}

/** Change gives the relay the next token and returns for how long that is good. */
export function tokens(source: Source, change: (token: string) => Promise<number | undefined>, fail: (err: unknown) => void): Tokens {
  let held: Promise<string> | undefined
  let timer: any
  const get = () => {
    if (held) return held
    const ask = async () => {
      let late: any
      await 0 // a source that throws at once does so after this has an end
      try {
        const token = await Promise.race([
          typeof source === 'function' ? source() : source,
          new Promise<string>((_, no) => (late = later(no, patience, failure('token', 'no token has come within 10 s', true)))),
        ])
        return ('' + (token ?? '')).trim()
      } catch (err) {
        if (held === mine) held = undefined
        throw err
      } finally {
        never(late)
      }
    }
    const mine: Promise<string> = (held = ask())
    return mine
  }
  const renew = async () => {
    held = undefined
    try {
      expires(await change(await get()))
    } catch (err) {
      fail(err)
      expires(2e4)
    }
  }
  const expires = (ms?: number) => {
    never(timer)
    if (ms! < 2e9) timer = later(renew, ms! * (0.7 + random() * 0.1))
  }
  return {
    get,
    refused() {
      held = undefined
      return typeof source === 'function'
    },
    expires,
    stop: () => never(timer),
  }
}
