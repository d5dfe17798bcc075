// Builds the modules in dist, each with its types, and copies what the dashboard is drawn with. With --check it builds
// in memory and holds what is committed against it.
import { readFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { rollup } from 'rollup'
import { dts } from 'rollup-plugin-dts'

const here = import.meta.dirname
const most = 8 * 1024 // bytes of a module, gzipped

// What is published, by entry point; those in dist are served, too, and bound in size.
const modules = {
  'dist/weir': 'index', 'dist/weir-share': 'share', 'dist/weir-documents': 'documents',
  'npm/react': 'react', 'npm/vue': 'vue', 'npm/testing': 'testing',
}
// Modules that stand beside others, and what of the source is in them as far as types go.
const beside = {
  weir: ['index', 'emitter', 'wire', 'link', 'queue', 'channel', 'tokens', 'client', 'weir'],
  'weir-documents': ['text', 'document', 'textarea', 'codemirror', 'documents', 'weir-documents'],
}
const place = (from, name) => (from.startsWith('npm/') ? '../dist/' : './') + name + '.js'
const files = {}
for (const [name, entry] of Object.entries(modules)) {
  const served = name.startsWith('dist/')
  const others = Object.keys(beside).filter((b) => name !== 'dist/' + b)
  const { outputFiles } = await build({
    entryPoints: [join(here, `src/${entry}.ts`)],
    bundle: true, format: 'esm', target: 'es2022', minify: served, charset: 'utf8', write: false, logLevel: 'error',
    mangleProps: /_$/, legalComments: 'none', external: ['./weir-documents.js', './weir.js', 'react', 'vue'],
    banner: entry === 'react' ? { js: "'use client'" } : undefined,
  })
  const js = Buffer.from(outputFiles[0].contents)
  if (served) {
    const size = gzipSync(js, { level: 9 }).length
    if (size > most) throw new Error(`${name}.js has ${size} bytes gzipped, ${size - most} too many`)
    console.log(`${name}.js: ${js.length} bytes, ${size} gzipped of ${most}`)
  }
  files[name + '.js'] = js

  // One file of types: what is exported and what that is made of; what another module has is imported from it.
  const bundle = await rollup({
    input: join(here, `src/${entry}.ts`),
    plugins: [
      {
        name: 'beside',
        resolveId(id, from) {
          const base = id.replace(/^\.\//, '').replace(/\.js$/, '')
          const other = from && id.startsWith('.') && others.find((b) => beside[b].includes(base))
          return other ? { id: place(name, other), external: true } : null
        },
      },
      dts({ tsconfig: join(here, 'tsconfig.json') }),
    ],
    external: ['react', 'vue'], makeAbsoluteExternalsRelative: false,
    onwarn: (w) => {
      throw new Error(`${name}.d.ts: ${w.message}`)
    },
  })
  const { output } = await bundle.generate({ format: 'es' })
  await bundle.close()
  files[name + '.d.ts'] = Buffer.from(`// Types of ${name.slice(name.indexOf('/') + 1)}.js. Made from its source.\n\n${output[0].code}`)
}

// What the dashboard draws its plots with, as its makers have it but for the spaces.
const uplot = join(here, 'node_modules/uplot')
const plots = await build({ entryPoints: [join(uplot, 'dist/uPlot.esm.js')], minify: true, format: 'esm', target: 'es2022', write: false })
Object.assign(files, {
  '../dashboard/uplot.js': Buffer.from(plots.outputFiles[0].contents),
  '../dashboard/uplot.css': readFileSync(join(uplot, 'dist/uPlot.min.css')),
  '../dashboard/uplot-LICENSE.txt': readFileSync(join(uplot, 'LICENSE')),
})
for (const dir of ['dist', 'npm']) mkdirSync(join(here, dir), { recursive: true })
for (const [name, content] of Object.entries(files)) {
  const path = join(here, name)
  if (!process.argv.includes('--check')) writeFileSync(path, content)
  else if (!readFileSync(path).equals(content)) throw new Error(`${path} is not what its source makes: npm run build in relay/web/client`)
}
