/** Fails where a generated page is stale, or a link in a Markdown page leads to no file. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const root = join(import.meta.dirname, '..')
const generators = readdirSync(import.meta.dirname).filter((name) =>
  /-reference\.ts$|^draw-.*\.ts$/.test(name),
)
let problems = 0

for (const name of generators) {
  const run = spawnSync(process.execPath, [join(import.meta.dirname, name), '--check'], {
    encoding: 'utf8',
  })
  if (run.status !== 0) {
    problems++
    console.error(`${name} --check: ${run.stderr || run.stdout}`)
  }
}

function pages(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (['node_modules', '.git', 'data', '.venv'].includes(entry.name)) return []
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return pages(path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}

const all = pages(root)
for (const page of all) {
  const text = readFileSync(page, 'utf8')
  for (const [, target] of text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)) {
    if (target === undefined || /^[a-z]+:/.test(target)) continue
    if (existsSync(join(dirname(page), target))) continue
    problems++
    console.error(`${relative(root, page)} links to ${target}, which is not there`)
  }
}
if (all.length < 5 || generators.length < 3) {
  problems++
  console.error(
    `only ${all.length} pages and ${generators.length} generators seen: the check is broken`,
  )
}
console.log(`docs: ${all.length} pages, ${generators.length} generated, ${problems} problems`)
process.exitCode = problems === 0 ? 0 : 1
