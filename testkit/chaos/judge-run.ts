/** The end of a fault run: the judge reads, the oracles compare, potok's own audit has to agree. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { recompute, runPotok } from '../potok-process.ts'
import { setup as setUpPython } from '../python-venv.ts'
import { checkEvents, type EventsVerdict } from './check-events.ts'
import { checkRollups, type RollupsVerdict } from './check-rollups.ts'
import { rollupsState } from './drain.ts'
import {
  type EventRow,
  type Judge,
  judgeByPyIceberg,
  judgeByTrino,
  type RejectedRow,
  rollupNames,
  type RollupRow,
} from './judges.ts'
import { readLog } from './read-log.ts'
import type { Ledger } from './sent-events.ts'
import { latenessMinutes, type World } from './world.ts'

export type ChaosVerdict = {
  readonly judge: string
  readonly findings: readonly string[]
  readonly events: EventsVerdict
  readonly rows: { readonly events: number; readonly rejected: number; readonly log: number }
  /** Before the last exact run. */
  readonly provisionalWindows: number
  /** After it. */
  readonly rollups: RollupsVerdict
}

export type JudgeOptions = {
  readonly seed: number
  readonly baseMs: number
  readonly ledger: Ledger
  readonly world: World
  readonly logEnds: ReadonlyMap<number, number>
  readonly judge: 'trino' | 'pyiceberg'
  readonly folder: string
  readonly tell: (line: string) => void
}

const dayMs = 86_400_000
const readTriesMax = 10

export async function judgeRun(options: JudgeOptions): Promise<ChaosVerdict> {
  const { world, folder, tell } = options
  if (options.judge === 'pyiceberg') await setUpPython()
  const judge: Judge =
    options.judge === 'trino' ? await judgeByTrino(world) : judgeByPyIceberg(world)
  try {
    const events = await judge.events()
    const rejected = await judge.rejected()
    tell(`${judge.name}: ${events.length} rows in events, ${rejected.length} in rejected_events`)
    const logged = await readLog(world)
    const eventsVerdict = checkEvents({ ...options, events, rejected, logged })
    const before = await lookAtRollups(options, judge, events, false)
    const failures = await runExactly(options)
    const after = await lookAtRollups(options, judge, events, true)
    tell(
      `${judge.name}: ${after.verdict.exactWindows} exact windows, ${after.verdict.provisionalWindows} provisional`,
    )
    const audit = await verify(world, folder)
    const findings = [
      ...eventsVerdict.findings,
      ...before.verdict.findings.map((finding) => `before the last exact run: ${finding}`),
      ...failures,
      ...after.verdict.findings,
      ...audit,
    ]
    if (findings.length > 0) keepEvidence(folder, { events, rejected, ...after.rows })
    return {
      judge: judge.name,
      findings,
      events: eventsVerdict,
      rows: {
        events: events.length,
        rejected: rejected.length,
        log: [...logged.values()].reduce((sum, records) => sum + records.size, 0),
      },
      provisionalWindows: before.verdict.provisionalWindows,
      rollups: after.verdict,
    }
  } finally {
    await judge.stop()
  }
}

async function lookAtRollups(
  { seed, baseMs, world }: JudgeOptions,
  judge: Judge,
  events: readonly EventRow[],
  isExactDue: boolean,
): Promise<{ verdict: RollupsVerdict; rows: Record<string, readonly RollupRow[]> }> {
  const names = isExactDue ? rollupNames : (['rollup_5m'] as const)
  const rows: Record<string, readonly RollupRow[]> = {}
  // Runs that were asked for, and those of the schedule, go on: what is read must be of one state.
  let state = await rollupsState(world)
  for (let tries = 1; ; tries++) {
    for (const name of names) rows[name] = await judge.rollup(name)
    const now = await rollupsState(world)
    if (now.snapshots === state.snapshots) break
    if (tries === readTriesMax) throw new Error('the rollups change each time they are read')
    state = now
  }
  const verdict = checkRollups({
    seed,
    baseMs,
    latenessUsMax: latenessMinutes * 60_000_000,
    sealedUntilUs: state.sealedUntilUs,
    events,
    rollups: rows,
    isExactDue,
  })
  return { verdict, rows }
}

/** Everything up to now becomes exact. */
async function runExactly({ world, baseMs }: JudgeOptions): Promise<string[]> {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
  const url = world.apiUrl()
  if (url === null) return ['the exact job is not up']
  const run = await recompute(url, {
    from: day(baseMs - 50 * dayMs),
    to: day(Date.now() + dayMs),
  })
  const isDone = run['status'] === 'done' || run['status'] === 'nothing_to_do'
  return isDone ? [] : [`the last exact run: ${JSON.stringify(run)}`]
}

async function verify({ env }: World, folder: string): Promise<string[]> {
  const data = join(folder, 'data', 'verify')
  mkdirSync(data, { recursive: true })
  const result = await runPotok(['verify', '--data', data, '--json'], '', env)
  writeFileSync(join(folder, 'verify.json'), result.stdout)
  if (result.code === 0) return []
  const shown = `${result.stdout}${result.stderr}`.slice(0, 2_000)
  return [`potok verify ended with ${result.code}: ${shown}`]
}

function keepEvidence(
  folder: string,
  tables: Readonly<Record<string, readonly (EventRow | RejectedRow | RollupRow)[]>>,
): void {
  for (const [name, rows] of Object.entries(tables)) {
    const lines = rows.map((row) =>
      JSON.stringify(row, (_, value: unknown) =>
        typeof value === 'bigint' ? String(value) : value,
      ),
    )
    writeFileSync(join(folder, `${name}.jsonl`), lines.join('\n'))
  }
}
