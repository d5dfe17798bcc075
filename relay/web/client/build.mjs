// Builds dist/weir.js, one module, and dist/weir.d.ts, and copies what the dashboard is drawn with. With --check
// it builds in memory and holds what is committed against it.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

const here = import.meta.dirname
const most = 12 * 1024

const { outputFiles } = await build({
  entryPoints: [join(here, 'src/index.ts')],
  bundle: true, format: 'esm', target: 'es2022', minify: true, charset: 'utf8', write: false, logLevel: 'error',
  mangleProps: /_$/, legalComments: 'none',
})
const js = Buffer.from(outputFiles[0].contents)
if (js.length > most) throw new Error(`weir.js has ${js.length} bytes, ${js.length - most} too many`)

// One file of types: the declarations of all modules, without the imports between them.
const dir = mkdtempSync(join(tmpdir(), 'weir-types-'))
execFileSync(join(here, 'node_modules/.bin/tsc'), ['-p', here, '--emitDeclarationOnly', '--outDir', dir], { stdio: 'inherit' })
const index = readFileSync(join(dir, 'index.d.ts'), 'utf8')
const exported = new Set([...index.matchAll(/(?:{|,)\s*(?:type )?(\w+)(?=[,\s}])/g)].map((m) => m[1]))
const modules = ['emitter', 'wire', 'link', 'text', 'channel', 'document', 'client', 'textarea', 'codemirror']
const types = '// Types of weir.js. Made from its source.\n\n' + modules
  .map((name) => readFileSync(join(dir, name + '.d.ts'), 'utf8').replace(/^import [^;]*;\n/gm, '').replace(/^export \{\};\n/gm, ''))
  .join('')
  .replace(/^export (declare )?(interface|type|class|function|const) (\w+)/gm, (all, _declare, kind, name) =>
    (exported.has(name) ? 'export ' : '') + (kind === 'interface' || kind === 'type' ? '' : 'declare ') + kind + ' ' + name) + 'export {};\n'
rmSync(dir, { recursive: true })

// What the dashboard draws its plots with, as its makers have it but for the spaces.
const uplot = join(here, 'node_modules/uplot')
const plots = await build({ entryPoints: [join(uplot, 'dist/uPlot.esm.js')], minify: true, format: 'esm', target: 'es2022', write: false })

const files = {
  'dist/weir.js': js,
  'dist/weir.d.ts': Buffer.from(types),
  '../dashboard/uplot.js': Buffer.from(plots.outputFiles[0].contents),
  '../dashboard/uplot.css': readFileSync(join(uplot, 'dist/uPlot.min.css')),
  '../dashboard/uplot-LICENSE.txt': readFileSync(join(uplot, 'LICENSE')),
}
mkdirSync(join(here, 'dist'), { recursive: true })
for (const [name, content] of Object.entries(files)) {
  const path = join(here, name)
  if (!process.argv.includes('--check')) writeFileSync(path, content)
  else if (!readFileSync(path).equals(content)) throw new Error(`${path} is not what its source makes: npm run build in relay/web/client`)
}
console.log(`weir.js ${js.length} of ${most} bytes`)
