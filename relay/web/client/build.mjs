// Builds the modules in dist, each with its types, and copies what the dashboard is drawn with. With --check it builds
// in memory and holds what is committed against it.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const here = import.meta.dirname
const most = 8 * 1024 // bytes of a module, gzipped

// What is served and published: by entry point, with the modules whose types its types are made of.
const modules = {
  weir: { entry: 'index', of: ['emitter', 'wire', 'link', 'queue', 'channel', 'tokens', 'client'], imports: "import type { Doc } from './weir-documents.js'\n" },
  'weir-share': { entry: 'share', of: ['share'], imports: "import type { Options, Weir } from './weir.js'\n" },
  'weir-documents': { entry: 'documents', of: ['text', 'document', 'textarea', 'codemirror', 'documents'], imports: "import type { On, Off, Message, Status, Weir } from './weir.js'\n" },
}
const dir = mkdtempSync(join(tmpdir(), 'weir-types-'))
execFileSync(join(here, 'node_modules/.bin/tsc'), ['-p', here, '--emitDeclarationOnly', '--outDir', dir], { stdio: 'inherit' })
const declared = (name) => readFileSync(join(dir, name + '.d.ts'), 'utf8')

const files = {}
for (const [name, { entry, of, imports = '' }] of Object.entries(modules)) {
  const { outputFiles } = await build({
    entryPoints: [join(here, `src/${entry}.ts`)],
    bundle: true, format: 'esm', target: 'es2022', minify: true, charset: 'utf8', write: false, logLevel: 'error',
    mangleProps: /_$/, legalComments: 'none', external: ['./weir-documents.js', './weir.js'],
  })
  const js = Buffer.from(outputFiles[0].contents)
  const size = gzipSync(js, { level: 9 }).length
  if (size > most) throw new Error(`${name}.js has ${size} bytes gzipped, ${size - most} too many`)
  console.log(`${name}.js: ${js.length} bytes, ${size} gzipped of ${most}`)

  // One file of types: the declarations of all modules, without the imports between them.
  const exported = new Set([...declared(entry).matchAll(/(?:{|,)\s*(?:type )?(\w+)(?=[,\s}])|export declare const (\w+)/g)].map((m) => m[1] ?? m[2]))
  const types = `// Types of ${name}.js. Made from its source.\n\n` + imports + of
    .map((name) => declared(name).replace(/^(import|export) [^;=:]* from [^;]*;\n/gm, '').replace(/^export \{\};\n/gm, ''))
    .join('')
    .replace(/^export (declare )?(interface|type|class|function|const) (\w+)/gm, (all, _declare, kind, name) =>
      (exported.has(name) ? 'export ' : '') + (kind === 'interface' || kind === 'type' ? '' : 'declare ') + kind + ' ' + name) + 'export {};\n'
  files[`dist/${name}.js`] = js
  files[`dist/${name}.d.ts`] = Buffer.from(types)
}
rmSync(dir, { recursive: true })

// What the dashboard draws its plots with, as its makers have it but for the spaces.
const uplot = join(here, 'node_modules/uplot')
const plots = await build({ entryPoints: [join(uplot, 'dist/uPlot.esm.js')], minify: true, format: 'esm', target: 'es2022', write: false })
Object.assign(files, {
  '../dashboard/uplot.js': Buffer.from(plots.outputFiles[0].contents),
  '../dashboard/uplot.css': readFileSync(join(uplot, 'dist/uPlot.min.css')),
  '../dashboard/uplot-LICENSE.txt': readFileSync(join(uplot, 'LICENSE')),
})
mkdirSync(join(here, 'dist'), { recursive: true })
for (const [name, content] of Object.entries(files)) {
  const path = join(here, name)
  if (!process.argv.includes('--check')) writeFileSync(path, content)
  else if (!readFileSync(path).equals(content)) throw new Error(`${path} is not what its source makes: npm run build in relay/web/client`)
}
