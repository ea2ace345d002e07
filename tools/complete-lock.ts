/**
 * Adds to package-lock.json what npm leaves out where the registry doesn't serve packages of other platforms
 * (a mirror, an offline proxy): without those entries `npm ci` calls the lock out of step. Such packages are
 * optional and skipped by their `os` and `cpu`, which their names tell. Run it after `npm install`.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

type Entry = {
  version?: string
  optional?: boolean
  dev?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  engines?: Record<string, string>
  optionalDependencies?: Record<string, string>
  dependencies?: Record<string, string>
}
type Lock = { packages: Record<string, Entry> }

const path = join(import.meta.dirname, '..', 'package-lock.json')
const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock

const systems: readonly (readonly [pattern: RegExp, os: string])[] = [
  [/darwin|macos/, 'darwin'],
  [/win32|win-|windows/, 'win32'],
  [/android/, 'android'],
  [/freebsd/, 'freebsd'],
  [/openbsd/, 'openbsd'],
  [/netbsd/, 'netbsd'],
  [/sunos/, 'sunos'],
  [/aix/, 'aix'],
  [/openharmony/, 'openharmony'],
  [/linux/, 'linux'],
]
const processors = [
  'arm64',
  'x64',
  'ia32',
  'riscv64',
  'ppc64',
  's390x',
  'loong64',
  'mips64el',
  'wasm32',
  'arm',
] as const

function platformOf(name: string): Pick<Entry, 'os' | 'cpu' | 'libc'> | null {
  const os = systems.find(([pattern]) => pattern.test(name))?.[1]
  const cpu = processors.find((candidate) => new RegExp(`[-_/]${candidate}`).test(name))
  if (cpu === 'wasm32') return { cpu: ['wasm32'] }
  if (os === undefined) return null
  return {
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    os: [os],
    ...(/musl/.test(name) ? { libc: ['musl'] } : {}),
  }
}

/** As npm resolves: nested under the package that asks, or any folder above it, or at the top. */
function isThere(asker: string, name: string): boolean {
  for (let at = asker; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    if (lock.packages[`${at === '' ? '' : `${at}/`}node_modules/${name}`] !== undefined) return true
    if (at === '') return false
    if (!at.includes('/node_modules/')) at = ''
  }
}

function exactVersion(name: string, range: string): string {
  if (/^\d+\.\d+\.\d+/.test(range)) return range
  // `24.x` of Node's packages: they are released together.
  const sibling = Object.entries(lock.packages).find(
    ([key, entry]) =>
      entry.version !== undefined &&
      key.replace(/^.*node_modules\//, '').split('-')[0] === name.split('-')[0] &&
      key.includes('linux-x64'),
  )?.[1].version
  if (sibling === undefined) throw new Error(`no exact version of ${name} (${range}) is known`)
  return sibling
}

let added = 0
for (const [asker, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    if (isThere(asker, name)) continue
    const platform = platformOf(name)
    if (platform === null) {
      console.error(`left out: ${name} (its name tells no platform)`)
      continue
    }
    lock.packages[`node_modules/${name}`] = {
      version: exactVersion(name, range),
      ...platform,
      ...(entry.dev === true ? { dev: true } : {}),
      optional: true,
    }
    added++
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
)
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`package-lock.json: ${added} packages of other platforms added`)
