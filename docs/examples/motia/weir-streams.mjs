// The streams of a Motia app live on weir: an adapter for `adapters.streams`; weir-iii.mjs is that for iii. A group of a stream is a
// channel of weir's, an item of it an item there; docs/motia.md has the rule. It needs nothing but Node 18 or later.
const { WEIR_URL = 'http://127.0.0.1:8080', WEIR_API_KEY = 'dev' } = process.env
const escape = (text, more = '~') => Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).map((c) =>
  /[A-Za-z0-9_.:/@=-]/.test(c) && c !== more ? c : '~' + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')).join('')
const unescape = (text) => decodeURIComponent(text.replaceAll('%', '%25').replace(/~([0-9A-F]{2})/g, '%$1'))
const item = (id, data) => (data instanceof Object && !Array.isArray(data) ? { ...data, id } : { id, value: data })

/** The groups of one stream. ttl is how many seconds an item lives; undefined: for ever. */
export class Groups {
  constructor(name, { url = WEIR_URL, key = WEIR_API_KEY, ttl } = {}) {
    Object.assign(this, { url, key, ttl, prefix: `stream:${escape(name, ':')}:` })
  }
  async call(method, path, body) {
    const headers = { authorization: 'Bearer ' + this.key, 'content-type': 'application/json' }
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(10_000) })
    const answer = await response.json()
    if (response.ok || response.status === 404) return response.ok ? answer : null
    throw new Error(`weir: ${method} ${path}: ${response.status} ${answer.code} ${answer.title}`)
  }
  publish = (group, id, change) => this.call('POST', '/v1/publish', { channel: this.prefix + escape(group), key: id && escape(id), ...change })
  path = (group, ...id) => ['/v1/channels', ...[this.prefix + escape(group), 'items', ...id.map((x) => escape(x))].map(encodeURIComponent)].join('/')
  get = async (group, id) => {
    const found = await this.call('GET', this.path(group, id))
    return found && item(id, found.data)
  }
  set = async (group, id, data) => {
    await this.publish(group, id, { data: item(id, data), ttl: this.ttl && this.ttl * 1000 })
    return item(id, data)
  }
  delete = async (group, id) => {
    const old = await this.get(group, id)
    if (old) await this.publish(group, id, { op: 'delete' })
    return old
  }
  list = async (group) => Object.entries((await this.call('GET', this.path(group)))?.items ?? {}).map(([key, data]) => item(unescape(key), data))
  clear = (group) => this.call('DELETE', this.path(group))
  send = ({ groupId, id }, event) => this.publish(groupId, id, { op: 'send', data: event })
  names = async (found = []) => {
    const page = await this.call('GET', '/v1/channels?' + new URLSearchParams({ prefix: this.prefix, after: found.at(-1) ?? '', limit: '1000' }))
    found.push(...page.channels.map((x) => x.channel))
    return page.more ? this.names(found) : found.map((channel) => unescape(channel.slice(this.prefix.length)))
  }
}

/** Motia: `adapters: { streams: new WeirStreams() }` in motia.config.ts. ttl has the seconds that items live, by stream. */
export class WeirStreams {
  constructor({ ttl = {}, ...options } = {}) { Object.assign(this, { ttl, options }) }
  createStream(name) {
    const { get, set, delete: remove, list, clear, send } = new Groups(name, { ...this.options, ttl: this.ttl[name] })
    const query = async (group, { where = {}, orderBy, orderDirection = 'asc', offset = 0, limit = Infinity }) => {
      const order = (a, b) => (a[orderBy] < b[orderBy] ? -1 : a[orderBy] > b[orderBy] ? 1 : 0) * (orderDirection === 'asc' ? 1 : -1)
      const found = (await list(group)).filter((x) => Object.keys(where).every((k) => x[k] === where[k]))
      return (orderBy ? found.sort(order) : found).slice(offset, offset + limit)
    }
    const adapter = { get, set, delete: remove, getGroup: list, clear, query, subscribe: async () => {}, unsubscribe: async () => {} }
    return Object.defineProperty(adapter, 'send', { get: () => send, set() {} }) // Motia puts its own in place, which reaches only its own sockets
  }
}
