/**
 * Holds the direction of folders (DESIGN §7): kernel ← iceberg ← services ← app; adapters → kernel, iceberg.
 * Fails where an import breaks it, where it sees suspiciously few modules, and where it would miss a
 * violation that is seeded into it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, normalize, relative, sep } from 'node:path'

const root = join(import.meta.dirname, '..')
const services = ['catalog', 'ingest', 'rollups', 'compactor', 'api']

/** What a folder's files may import: other folders of ours. Its own is always allowed. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  kernel: [],
  iceberg: ['kernel'],
  ...Object.fromEntries(services.map((service) => [service, ['kernel', 'iceberg']])),
  adapters: ['kernel', 'iceberg'],
  app: ['kernel', 'iceberg', 'adapters', ...services],
}

/** Node's modules and packages without I/O. Timers only wait; they tell no time to what decides. */
const purePackages = new Set(['zod', 'luxon', 'avsc'])
const pureBuiltins = new Set([
  'assert',
  'buffer',
  'crypto',
  'zlib',
  'util',
  'url',
  'events',
  'stream',
  'path',
  'timers',
])
const allowedPackages: Readonly<Record<string, readonly string[]>> = {
  catalog: ['express'],
  ingest: ['express'],
  api: ['express', 'prom-client'],
}
const allowedBuiltins: Readonly<Record<string, readonly string[]>> = {
  // Static files of the dashboard are part of the program, read once at start.
  api: ['fs', 'module', 'http'],
  catalog: ['http'],
  ingest: ['http'],
}

type Import = { readonly file: string; readonly specifier: string }

function importsOf(file: string, text: string): Import[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)\s*import\s+['"]([^'"]+)['"]/g
  return [...text.matchAll(pattern)].map((match) => ({
    file,
    specifier: (match[1] ?? match[2] ?? match[3]) as string,
  }))
}

function violation({ file, specifier }: Import): string | null {
  const folder = file.split(sep)[0] as string
  const allowed = mayImport[folder]
  if (allowed === undefined) return null
  if (specifier.startsWith('.')) {
    const target = normalize(join(dirname(file), specifier)).split(sep)[0] as string
    if (target === folder || allowed.includes(target)) return null
    return `${file} imports ${specifier}: ${folder}/ may import ${allowed.join(', ') || 'nothing of ours'}`
  }
  if (folder === 'adapters' || folder === 'app') return null
  const name = specifier.replace(/^node:/, '')
  const base = name.startsWith('@')
    ? name.split('/').slice(0, 2).join('/')
    : (name.split('/')[0] as string)
  const isBuiltin = specifier.startsWith('node:') || builtinModules.includes(base)
  const fine = isBuiltin
    ? pureBuiltins.has(base) || (allowedBuiltins[folder] ?? []).includes(base)
    : purePackages.has(base) || (allowedPackages[folder] ?? []).includes(base)
  return fine ? null : `${file} imports ${specifier}: only adapters/ and app/ may do I/O`
}

function processUse(file: string, text: string): string | null {
  const folder = file.split(sep)[0] as string
  if (folder === 'app' || mayImport[folder] === undefined) return null
  return /\bprocess\.(env|exit|argv)\b/.test(text) ? `${file} uses process.*: only app/ may` : null
}

function sources(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return entry.name === 'assets' ? [] : sources(path)
    return entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts') ? [path] : []
  })
}

const seeded: readonly Import[] = [
  { file: join('kernel', 'seeded.ts'), specifier: '../iceberg/catalog.ts' },
  { file: join('api', 'seeded.ts'), specifier: '../rollups/recompute/plan-recompute.ts' },
  { file: join('ingest', 'seeded.ts'), specifier: '../adapters/event-log/x.ts' },
  { file: join('iceberg', 'seeded.ts'), specifier: 'node:fs' },
  { file: join('kernel', 'seeded.ts'), specifier: 'lmdb' },
]

const files = Object.keys(mayImport).flatMap((folder) => {
  try {
    return sources(join(root, folder))
  } catch {
    return []
  }
})
const problems: string[] = []
let importCount = 0
for (const path of files) {
  const file = relative(root, path)
  const text = readFileSync(path, 'utf8')
  const imports = importsOf(file, text)
  importCount += imports.length
  problems.push(...imports.flatMap((found) => violation(found) ?? []))
  problems.push(...[processUse(file, text)].filter((found) => found !== null))
}
for (const violated of seeded) {
  if (violation(violated) === null)
    problems.push(`the check misses the seeded ${violated.file} → ${violated.specifier}`)
}
const seenSeed = importsOf(
  'kernel/x.ts',
  "import { a } from './a.ts'\nexport type { B } from '../b.ts'\n",
)
if (seenSeed.length !== 2) problems.push('the check no longer finds imports in a text')
if (files.length < 60 || importCount < 200) {
  problems.push(
    `only ${files.length} modules with ${importCount} imports seen: the check is broken`,
  )
}
for (const problem of problems) console.error(problem)
console.log(
  `folders: ${files.length} modules, ${importCount} imports, ${problems.length} violations`,
)
process.exitCode = problems.length === 0 ? 0 : 1
