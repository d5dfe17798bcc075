// The streams of an app on iii live on weir: the storage of a stream, for createStream of iii-sdk/helpers, and what of a stream the engine
// keeps to itself, as functions of the worker: docs/motia.md shows how they are registered. Inputs and answers are those of stream::*.
import { Groups } from './weir-streams.mjs'

const refuse = (code, message) => { throw Object.assign(new Error(message), { code }) }
const isObject = (x) => x instanceof Object && !Array.isArray(x)
const depth = (x) => (x instanceof Object ? 1 + Math.max(0, ...Object.values(x).map(depth)) : 0)

/** Where an operation of update applies: the object that holds the value, and its key there. Objects that are not there are made. */
function place(root, { type, path = [] }) {
  const keys = [path].flat().filter((key) => key !== '')
  if (keys.length > 32) refuse(`${type}.path.too_deep`, `the path has ${keys.length} segments: at most 32`)
  for (const key of keys) {
    if (Buffer.byteLength(key) > 256) refuse(`${type}.path.segment_too_long`, `a segment of the path has ${Buffer.byteLength(key)} bytes: at most 256`)
    if (['__proto__', 'constructor', 'prototype'].includes(key)) refuse(`${type}.path.proto_polluted`, `a segment of the path is ${key}`)
  }
  let at = root, last = 'value'
  for (const key of keys) {
    if (!isObject(at[last])) at[last] = {}
    at = at[last]
    last = key
  }
  return [at, last, keys.length]
}

const operations = {
  set: (at, key, { value }) => (at[key] = value),
  increment: (at, key, { by }) => (at[key] = (Number(at[key]) || 0) + by),
  decrement: (at, key, { by }) => (at[key] = (Number(at[key]) || 0) - by),
  remove: (at, key) => delete at[key],
  merge(at, key, { value }) {
    if (!isObject(value)) refuse('merge.value.not_an_object', 'the value of a merge is an object')
    if (depth(value) > 16) refuse('merge.value.too_deep', 'the value is nested more than 16 levels deep')
    if (Object.keys(value).length > 1024) refuse('merge.value.too_many_keys', 'the value has more than 1024 keys')
    if (['__proto__', 'constructor', 'prototype'].some((name) => Object.hasOwn(value, name))) refuse('merge.value.proto_polluted', 'the value has a key that is a name of prototypes')
    at[key] = { ...(isObject(at[key]) ? at[key] : {}), ...value }
  },
  append(at, key, { path, value }, deep) {
    if (at[key] === undefined || at[key] === null) at[key] = typeof value === 'string' && deep < 2 && !Array.isArray(path) ? value : [value]
    else if (Array.isArray(at[key])) at[key] = [...at[key], value]
    else if (typeof at[key] === 'string' && typeof value === 'string') at[key] += value
    else refuse('append.type_mismatch', 'what is there is neither a list nor, with a text to append, a text')
  },
}

/** `createStream(iii, name, weirStream(name))`, with update and send beside it. Changes of an item by one worker are made one after the other. */
export function weirStream(name, options) {
  const groups = new Groups(name, options)
  const turns = new Map()
  const inTurn = (work) => (x) => {
    const item = JSON.stringify([x.group_id, x.item_id])
    const done = (turns.get(item) ?? Promise.resolve()).then(() => work(x))
    const turn = done.catch(() => {}).then(() => turns.get(item) === turn && turns.delete(item))
    turns.set(item, turn)
    return done
  }
  const before = async ({ group_id, item_id }) => (await groups.get(group_id, item_id)) ?? undefined
  return {
    get: async ({ group_id, item_id }) => groups.get(group_id, item_id),
    set: inTurn(async (x) => ({ old_value: await before(x), new_value: await groups.set(x.group_id, x.item_id, x.data) })),
    delete: inTurn(async ({ group_id, item_id }) => ({ old_value: (await groups.delete(group_id, item_id)) ?? undefined })),
    list: async ({ group_id }) => groups.list(group_id),
    listGroups: async () => groups.names(),
    update: inTurn(async (x) => {
      const old_value = await before(x)
      const root = { value: structuredClone(old_value) }
      const errors = x.ops.flatMap((op, op_index) => {
        try {
          const work = Object.hasOwn(operations, op.type) ? operations[op.type] : refuse('type.unknown', `no operation is called ${op.type}`)
          const [at, key, deep] = place(root, op)
          work(at, key, op, deep)
          return []
        } catch (error) {
          return [{ op_index, code: error.code, message: error.message }]
        }
      })
      const new_value = await groups.set(x.group_id, x.item_id, root.value ?? {})
      return { old_value, new_value, ...(errors.length > 0 && { errors }) }
    }),
    send: async ({ group_id, id, type, data }) => void (await groups.send({ groupId: group_id, id }, { type, data })),
  }
}
