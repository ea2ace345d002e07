/**
 * `npm run chaos -- --seed N [--faults N | --minutes N]`: the fault run (docs/chaos.md). Exit code 1 with any
 * finding; then the folder with logs and rows is kept, and the command that runs it again is printed.
 */
import { appendFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { describeRun } from '../testkit/chaos/report.ts'
import { chaosFolder, runChaos } from '../testkit/chaos/run-chaos.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    faults: { type: 'string' },
    minutes: { type: 'string' },
    rate: { type: 'string', default: '300' },
    pace: { type: 'string', default: '6' },
    judge: { type: 'string', default: 'trino' },
    only: { type: 'string', default: '' },
    keep: { type: 'boolean', default: false },
  },
})

function number(name: 'seed' | 'faults' | 'minutes' | 'rate' | 'pace', otherwise: number): number {
  const text = values[name]
  const value = text === undefined ? otherwise : Number(text)
  if (!(value > 0)) throw new Error(`--${name} ${text}: a number above 0`)
  return value
}

const seed = number('seed', 1 + Math.floor(Math.random() * 1e6))
const { judge } = values
if (judge !== 'trino' && judge !== 'pyiceberg') throw new Error('--judge trino | pyiceberg')
const folder = chaosFolder(seed)
const logFile = join(folder, 'chaos.log')
const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
  appendFileSync(logFile, `${line}\n`)
}
const isByMinutes = values.minutes !== undefined

try {
  const report = await runChaos({
    seed,
    faultsMax: isByMinutes && values.faults === undefined ? Infinity : number('faults', 160),
    msMax: isByMinutes ? number('minutes', 1) * 60_000 : Infinity,
    paceMs: number('pace', 6) * 1_000,
    eventsPerSecond: number('rate', 300),
    judge,
    only: values.only,
    folder,
    say,
  })
  for (const line of describeRun(report)) say(line)
  process.exitCode = report.findings.length === 0 ? 0 : 1
} catch (error) {
  say(
    `the run itself failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  )
  process.exitCode = 1
}
if (process.exitCode === 0 && !values.keep) rmSync(folder, { recursive: true, force: true })
else
  say(
    `kept: ${folder}; again: npm run chaos -- ${process.argv.slice(2).join(' ')}${values.seed === undefined ? ` --seed ${seed}` : ''}`,
  )
process.exit()
