/** `npm run bench -- NAME [flags]`: runs one benchmark; without a name lists them. */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

const [name, ...flags] = process.argv.slice(2)
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && file !== 'run.ts' && !file.startsWith('lib-'))
  .map((file) => file.slice(0, -3))
if (name === undefined || !names.includes(name)) {
  console.error(`npm run bench -- NAME [flags], with one of: ${names.join(', ')}`)
  process.exitCode = 2
} else {
  const child = spawn(
    process.execPath,
    ['--expose-gc', join(import.meta.dirname, `${name}.ts`), ...flags],
    {
      stdio: 'inherit',
    },
  )
  child.on('exit', (code) => {
    process.exitCode = code ?? 1
  })
}
