/** The fault run in its short form; the long one is run by hand (docs/chaos.md). */
import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { describeRun } from '../../testkit/chaos/report.ts'
import { chaosFolder, runChaos } from '../../testkit/chaos/run-chaos.ts'

const seed = Number(process.env['POTOK_TEST_SEED'] ?? 20_261_125)
const faultsMax = Number(process.env['POTOK_TEST_FAULTS'] ?? 22)

test(`${faultsMax} faults in every part: what was acknowledged is there, each position once, and the rollups are those of what was sent`, {
  timeout: 1_200_000,
}, async () => {
  const folder = chaosFolder(seed)
  const lines: string[] = []
  const report = await runChaos({
    seed,
    faultsMax,
    msMax: 150_000,
    paceMs: 4_000,
    eventsPerSecond: 200,
    judge: 'pyiceberg',
    folder,
    say: (line) => lines.push(line),
  })
  const shown = `seed ${seed}, kept: ${folder}\n${[...lines, ...describeRun(report)].join('\n')}`
  expect(report.findings, shown).toEqual([])
  expect(report.faultCount).toBeGreaterThan(0)
  expect([report.events.lost, report.events.duplicates]).toEqual([0, 0])
  // What was compared was something.
  expect(
    Math.min(report.rows.events, report.rollups.exactWindows, report.provisionalWindows),
  ).toBeGreaterThan(0)
  rmSync(folder, { recursive: true, force: true })
})
