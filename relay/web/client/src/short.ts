// Names of the language that are used often: what is bundled is the smaller for it.
export const { min, max, random } = Math
export const { now } = Date
export const { parse, stringify } = JSON
export const { assign, entries } = Object
export const later: (f: (...args: any[]) => unknown, ms: number, ...args: unknown[]) => any = setTimeout
export const never: (timer: any) => void = clearTimeout
