// What the clients' scripts share: the server's address and keys come from the environment.
import { connect, createServer } from 'node:net'

export const base = process.env.E2E_URL
/** Where backends publish: past the proxy, if there is one. */
export const api = process.env.E2E_API ?? base
export const token = process.env.E2E_TOKEN

/** Publishes as a backend and answers the position. */
export async function publish(fields) {
  const r = await fetch(api + '/v1/publish', {
    method: 'POST',
    headers: { authorization: 'Bearer dev', 'content-type': 'application/json' },
    body: JSON.stringify(fields),
  })
  if (r.status !== 200) throw new Error(`publish answered ${r.status} ${await r.text()}`)
  return (await r.json()).position
}

/** Posts to a route for backends and answers the JSON. */
export async function post(path, body) {
  const r = await fetch(api + path, {
    method: 'POST',
    headers: { authorization: 'Bearer dev', 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!r.ok) throw new Error(`${path} answered ${r.status} ${await r.text()}`)
  return r.json()
}

/** A queue of what arrives, and a wait for the next that fits. */
export class Inbox {
  #items = []
  #waiting = []
  push(item) {
    this.#items.push(item)
    for (const w of this.#waiting.splice(0)) w()
  }
  async until(fits, what) {
    const end = Date.now() + 5000
    for (;;) {
      while (this.#items.length > 0) {
        const item = this.#items.shift()
        if (fits(item)) return item
      }
      const left = end - Date.now()
      if (left <= 0) throw new Error(`${what} did not arrive`)
      await new Promise((done) => {
        const t = setTimeout(done, left)
        this.#waiting.push(() => { clearTimeout(t); done() })
      })
    }
  }
}

export function equal(got, want, what) {
  const [g, w] = [JSON.stringify(got), JSON.stringify(want)]
  if (g !== w) throw new Error(`${what}: want ${w}, got ${g}`)
}

/** What a browser connects to in the place of a server, so that all of its connections can break. */
export async function road(to) {
  const sockets = new Set()
  const way = createServer((browser) => {
    const server = connect(new URL(to).port, '127.0.0.1')
    for (const [one, other] of [[browser, server], [server, browser]]) {
      sockets.add(one)
      one.on('error', () => {}).on('close', () => sockets.delete(one) && other.destroy()).pipe(other)
    }
  })
  await new Promise((done) => way.listen(0, '127.0.0.1', done))
  return { origin: 'http://127.0.0.1:' + way.address().port, cut: () => [...sockets].map((s) => s.destroy()).length }
}
