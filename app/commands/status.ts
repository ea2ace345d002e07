/**
 * `potok status`: tables, lag, what is sealed, what is dirty and what is wrong; of a running or a stopped
 * installation. Exit code 3 where something is wrong.
 */
import { openInstallation } from '../installation.ts'
import { type InstallationStatus, readStatus } from '../status.ts'
import { type CommandDefinition, print, toJson } from './command.ts'

const exitProblems = 3

export const statusCommand: CommandDefinition = {
  usage: 'status',
  description:
    'Tables, lag, sealed and dirty days of an installation, running or stopped; exit 3 with problems',
  settings: ['lagAgeMaxSeconds'],
  run: async ({ settings }) => {
    const existing = settings.warehouse === ''
    const status = await readStatus(openInstallation(settings, 'status', { existing }))
    print(settings.json ? toJson(status) : describeStatus(status))
    return status.ok ? 0 : exitProblems
  },
}

function describeStatus(status: InstallationStatus): string {
  const running =
    status.running === null
      ? 'no potok up runs on this data folder'
      : `potok up runs as process ${status.running.pid}${status.running.url === null ? '' : ` at ${status.running.url}`}`
  const tables = Object.entries(status.tables).map(
    ([name, t]) =>
      `  ${name.padEnd(16)} ${String(t.rows).padStart(12)} rows ${String(t.files).padStart(6)} files ${String(Math.ceil(t.bytes / 1024)).padStart(9)} KiB   last commit ${t.lastCommit ?? 'never'}`,
  )
  return [
    `${running}; ${status.catalog === null ? `warehouse ${status.warehouse}` : `catalog ${status.catalog}`}`,
    ...(tables.length === 0 ? ['  no tables yet'] : tables),
    `log: ${status.logRecords ?? 'unknown'} records; not yet committed: events ${lagText(status, 'events')}, rollup_5m ${lagText(status, 'rollup_5m')}`,
    `sealed until ${status.sealedUntil ?? 'nothing'}; dirty days: ${status.dirtyDays === null ? 'unknown' : status.dirtyDays.join(', ') || 'none'}`,
    ...(status.ok ? ['no problems'] : []),
    ...status.problems.map(({ part, reason }) => `PROBLEM ${part}: ${reason}`),
  ].join('\n')
}

function lagText({ sinks, lag }: InstallationStatus, name: 'events' | 'rollup_5m'): string {
  const ageSeconds = sinks[name]?.lagAgeSeconds ?? null
  const age = ageSeconds === null ? '' : ` (the oldest received ${ageSeconds} s ago)`
  return `${lag[name] ?? 'unknown'}${age}`
}
