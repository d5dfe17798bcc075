// Names of the language that are used often: what is bundled is the smaller for it.
export const { min, max, random } = Math
export const now = () => Date.now() // looked up each time, as timers are: tests have clocks of their own
export const { parse, stringify } = JSON
export const { assign, entries } = Object
export const later: (f: (...args: any[]) => unknown, ms: number, ...args: unknown[]) => any = (...x) => setTimeout(...x)
export const never: (timer: any) => void = (x) => clearTimeout(x)
