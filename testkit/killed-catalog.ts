/**
 * A process of its own that does the steps of `local-catalog-steps.ts` in the folder given and kills itself
 * (SIGKILL) before the n-th of the calls that count. It says `done NAME` after each step, and `end CALLS`.
 * With `changes` those count that change what other processes see: being killed before any other call leaves
 * what being killed after the change before it leaves. With `all` each call counts.
 */
import { writeSync } from 'node:fs'
import { nodeFileSystem } from '../adapters/object-store/file-system.ts'
import { interceptFileSystem } from './intercepted-file-system.ts'
import { openLocalCatalog, steps } from './local-catalog-steps.ts'

const changes: readonly string[] = ['mkdir', 'writeFile', 'link', 'unlink']
const [warehouse = '', counted = '', killAt = ''] = process.argv.slice(2)
let calls = 0
const fs = interceptFileSystem(nodeFileSystem, (call) => {
  if (counted !== 'all' && !changes.includes(call.name)) return 'run'
  if (++calls === Number(killAt)) process.kill(process.pid, 'SIGKILL')
  return 'run'
})
const catalog = openLocalCatalog(warehouse, fs)
for (const step of steps) {
  await step.run(catalog)
  writeSync(1, `done ${step.name}\n`)
}
writeSync(1, `end ${calls}\n`)
