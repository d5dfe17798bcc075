import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'

// What npm would publish, installed into a project of its own that is as strict as TypeScript can be.

const here = join(import.meta.dirname, '..')
const dir = mkdtempSync(join(tmpdir(), 'weir-consumer-'))
process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
const modules = join(dir, 'node_modules')
mkdirSync(modules)
const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', dir], { cwd: here, encoding: 'utf8' }).trim()
execFileSync('tar', ['-xzf', join(dir, packed), '-C', modules])
execFileSync('mv', [join(modules, 'package'), join(modules, 'weir-client')])
for (const name of readdirSync(join(here, 'node_modules'))) symlinkSync(join(here, 'node_modules', name), join(modules, name))

test('the core has 8 KB or less', () => {
  const size = gzipSync(readFileSync(join(modules, 'weir-client/dist/weir.js')), { level: 9 }).length
  assert.ok(size <= 8 * 1024, `${size} bytes`)
})

test('only what an app needs is packed', () => {
  const list = execFileSync('tar', ['-tzf', join(dir, packed)], { encoding: 'utf8' }).trim().split('\n').sort()
  const both = (names) => names.flatMap((n) => [`package/${n}.d.ts`, `package/${n}.js`])
  assert.deepEqual(list, [...both(['dist/weir', 'dist/weir-share', 'dist/weir-documents', 'npm/react', 'npm/vue', 'npm/testing']), 'package/README.md', 'package/package.json'].sort())
  const { peerDependenciesMeta, dependencies } = JSON.parse(readFileSync(join(modules, 'weir-client/package.json')))
  assert.deepEqual(peerDependenciesMeta, { react: { optional: true }, vue: { optional: true } })
  assert.equal(dependencies, undefined)
})

const source = `
import { connect, type Change, type Channel, type Position } from 'weir-client'
import { connect as share } from 'weir-client/share'
import { openDocument } from 'weir-client/documents'
import { WeirProvider, useChange, useChannel, useDocument, useItem, usePresence, useStatus } from 'weir-client/react'
import * as vue from 'weir-client/vue'
import { fakeClock, fakeRelay } from 'weir-client/testing'
import { createElement } from 'react'
import { createRoot } from 'react-dom/client'
import { createApp, ref } from 'vue'

interface Board { cards: { title: string; done?: boolean }; cursors: { x: number; y: number } }
interface Ping { from: string }
const relay = fakeRelay()
const weir = connect(relay.url, relay.options)
const board: Channel<Board, Ping> = weir.channel<Board, Ping>('board:1')
const title: string | undefined = board.get('cards', 'c1')?.title
const x: number | undefined = board.state.get('cursors')?.get('ann')?.x
const set: Promise<Position> = board.set('cards', 'c1', { title: 'one' }, { ttl: 1000 })
// @ts-expect-error another group's data
void board.set('cards', 'c1', { x: 1, y: 2 })
// @ts-expect-error no such group
void board.set('card', 'c1', { title: 'one' })
// @ts-expect-error no such group
board.get('card', 'c1')
board.on('change', (c) => {
  if (c.op === 'send') { const from: string = c.data.from; void from }
  else if (c.op === 'set' && c.group === 'cursors') { const n: number = c.data.x + c.data.y; void n }
  else if (c.op === 'delete') { const none: undefined = c.data; void none }
})
const loose = weir.channel('room:1')
loose.on('change', ({ op, group, key, data }: Change) => void [op, group, key, data.anything])
const anything: string = loose.get('g', 'k').text
const off: () => void = board.subscribe(() => {})
void [title, x, set, anything, off, share, openDocument(weir, 'd').text, fakeClock]

function Card({ id }: { id: string }) {
  const { state, ready, error, set } = useChannel<Board>('board:1')
  const [card, change] = useItem<Board['cards']>('board:1', 'cards', id)
  const users = usePresence('board:1')
  const { text, edit } = useDocument('notes')
  useChange<Board, Ping>('board:1', (c) => void (c.op === 'send' && c.data.from))
  void set('cursors', 'ann', { x: 1, y: 2 })
  // @ts-expect-error another group's data
  void set('cursors', 'ann', { title: '' })
  void change({ title: 'two' }).then((p) => p.seq)
  edit([{ from: 0, to: 0, insert: 'a' }])
  return createElement('p', null, card?.title, state.get('cards')?.size, ready, error?.code, users[0]?.name, text, useStatus())
}
createRoot(document.body).render(createElement(WeirProvider, { client: weir }, createElement(Card, { id: 'c1' })))

createApp({
  setup() {
    const name = ref('board:1')
    const { channel, set } = vue.useChannel<Board>(() => name.value)
    const { item } = vue.useItem<Board['cards']>(name, 'cards', 'c1')
    const { document, edit } = vue.useDocument('notes')
    vue.useChange<Board, Ping>(name, () => {})
    void [channel.value.state.get('cards')?.get('c1')?.title, item.value?.title, vue.usePresence(name).value[0]?.id, vue.useStatus().value, document.value.text, edit]
    return { set }
  },
}).use(vue.weirPlugin, weir)
`

for (const [module, moduleResolution] of [['esnext', 'bundler'], ['nodenext', 'nodenext']]) {
  test(`a strict project compiles, with the resolution of ${moduleResolution}`, () => {
    writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
    writeFileSync(join(dir, 'app.ts'), source)
    writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({
      compilerOptions: {
        target: 'es2022', module, moduleResolution, lib: ['es2022', 'dom', 'dom.iterable'], types: [], strict: true, noEmit: true, preserveSymlinks: true,
        exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noPropertyAccessFromIndexSignature: true, noImplicitOverride: true, verbatimModuleSyntax: true,
      },
      include: ['app.ts'],
    }))
    const r = spawnSync(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), '-p', dir], { encoding: 'utf8' })
    assert.equal(r.status, 0, r.stdout + r.stderr)
  })
}

test('it runs in Node.js, and a page can be rendered there', () => {
  const app = `
    import { createElement } from 'react'
    import { renderToString } from 'react-dom/server'
    import { connect } from 'weir-client'
    import { WeirProvider, useChannel, useItem } from 'weir-client/react'
    import { fakeRelay } from 'weir-client/testing'
    import 'weir-client/vue'
    const relay = fakeRelay()
    const weir = connect(relay.url, relay.options)
    const Page = () => createElement('p', null, String(useChannel('room:1').ready), useItem('room:1', 'g', 'k')[0] ?? 'none')
    console.log(renderToString(createElement(WeirProvider, { client: weir }, createElement(Page))), relay.followers('room:1'))
    weir.close()`
  writeFileSync(join(dir, 'app.mjs'), app)
  assert.equal(execFileSync(process.execPath, ['--preserve-symlinks', 'app.mjs'], { cwd: dir, encoding: 'utf8' }), '<p>false<!-- -->none</p> 0\n')
})
