// The streams of an app live on weir: an adapter for Motia's `adapters.streams`, and storage for iii's createStream. A group of a
// stream is a channel of weir's, an item of it an item there; docs/motia.md has the rule. It needs nothing but Node 18 or later.
const { WEIR_URL = 'http://127.0.0.1:8080', WEIR_API_KEY = 'dev' } = process.env
const escape = (text, more = '~') => Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).map((c) =>
  /[A-Za-z0-9_.:/@=-]/.test(c) && c !== more ? c : '~' + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')).join('')
const unescape = (text) => decodeURIComponent(text.replaceAll('%', '%25').replace(/~([0-9A-F]{2})/g, '%$1'))

/** The groups of one stream. ttl is how many seconds an item lives; undefined: for ever. */
export class Groups {
  constructor(name, { url = WEIR_URL, key = WEIR_API_KEY, ttl } = {}) {
    Object.assign(this, { name, url, key, ttl, prefix: `stream:${escape(name, ':')}:` })
  }
  async call(method, path, body) {
    const headers = { authorization: 'Bearer ' + this.key, 'content-type': 'application/json' }
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(10_000) })
    const answer = await response.json()
    if (response.status === 404) return null
    if (!response.ok) throw new Error(`weir: ${method} ${path}: ${response.status} ${answer.code} ${answer.title}`)
    return answer
  }
  publish = (group, id, change) => this.call('POST', '/v1/publish', { channel: this.prefix + escape(group), key: id && escape(id), ...change })
  path = (group, ...rest) => ['/v1/channels', this.prefix + escape(group), 'items', ...rest.map((id) => escape(id))].map((x, i) => (i ? encodeURIComponent(x) : x)).join('/')
  item = (id, data) => ({ ...data, id })

  async get(group, id) {
    const found = await this.call('GET', this.path(group, id))
    return found && this.item(id, found.data)
  }
  async set(group, id, data) {
    await this.publish(group, id, { data: this.item(id, data), ttl: this.ttl && this.ttl * 1000 })
    return this.item(id, data)
  }
  async delete(group, id) {
    const old = await this.get(group, id)
    if (old) await this.publish(group, id, { op: 'delete' })
    return old
  }
  async list(group) {
    const found = await this.call('GET', this.path(group))
    return Object.entries(found?.items ?? {}).map(([key, data]) => this.item(unescape(key), data))
  }
  async listGroups() {
    const names = []
    for (let more = true, after = ''; more; after = names.at(-1) ?? '') {
      const page = await this.call('GET', '/v1/channels?' + new URLSearchParams({ prefix: this.prefix, after, limit: '1000' }))
      names.push(...page.channels.map((x) => x.channel))
      more = page.more
    }
    return names.map((channel) => unescape(channel.slice(this.prefix.length)))
  }
  send = ({ groupId, id }, event) => this.publish(groupId, id, { op: 'send', data: event })
}

/** Motia: `adapters: { streams: new WeirStreams() }` in motia.config.ts. ttl has the seconds that items live, by stream. */
export class WeirStreams {
  constructor({ ttl = {}, ...options } = {}) { Object.assign(this, { ttl, options }) }
  createStream(name) {
    const groups = new Groups(name, { ...this.options, ttl: this.ttl[name] })
    return {
      get: (group, id) => groups.get(group, id),
      set: (group, id, data) => groups.set(group, id, data),
      delete: (group, id) => groups.delete(group, id),
      getGroup: (group) => groups.list(group),
      clear: (group) => groups.call('DELETE', groups.path(group)),
      get send() { return groups.send },
      set send(_) {}, // Motia puts its own in place, which reaches only its own sockets
      subscribe: async () => {},
      unsubscribe: async () => {},
      query: async (group, { where = {}, orderBy, orderDirection = 'asc', offset = 0, limit = Infinity }) => {
        const order = (a, b) => (a[orderBy] < b[orderBy] ? -1 : a[orderBy] > b[orderBy] ? 1 : 0) * (orderDirection === 'asc' ? 1 : -1)
        const found = (await groups.list(group)).filter((x) => Object.keys(where).every((k) => x[k] === where[k]))
        return (orderBy ? found.sort(order) : found).slice(offset, offset + limit)
      },
    }
  }
}

/** iii: `createStream(iii, name, weirStream(name))` of iii-sdk/helpers. */
export function weirStream(name, options) {
  const groups = new Groups(name, options)
  const before = async ({ group_id, item_id }) => (await groups.get(group_id, item_id)) ?? undefined
  return {
    get: async ({ group_id, item_id }) => groups.get(group_id, item_id),
    set: async (x) => ({ old_value: await before(x), new_value: await groups.set(x.group_id, x.item_id, x.data) }),
    delete: async ({ group_id, item_id }) => ({ old_value: (await groups.delete(group_id, item_id)) ?? undefined }),
    list: async ({ group_id }) => groups.list(group_id),
    listGroups: async () => groups.listGroups(),
  }
}
