/** `potok status`: tables, lag, what is sealed and what is dirty; of a running or a stopped installation. */
import { openInstallation } from '../installation.ts'
import { type InstallationStatus, readStatus } from '../status.ts'
import { type CommandDefinition, print, toJson } from './command.ts'

export const statusCommand: CommandDefinition = {
  usage: 'status',
  description: 'Tables, lag, sealed and dirty days of an installation, running or stopped',
  run: async ({ settings }) => {
    const status = await readStatus(openInstallation(settings, 'status', { existing: true }))
    print(settings.json ? toJson(status) : describeStatus(status))
    return 0
  },
}

function describeStatus(status: InstallationStatus): string {
  const running =
    status.running === null
      ? 'stopped'
      : `running as process ${status.running.pid}${status.running.url === null ? '' : ` at ${status.running.url}`}`
  const tables = Object.entries(status.tables).map(
    ([name, t]) =>
      `  ${name.padEnd(16)} ${String(t.rows).padStart(12)} rows ${String(t.files).padStart(6)} files ${String(Math.ceil(t.bytes / 1024)).padStart(9)} KiB   last commit ${t.lastCommit ?? 'never'}`,
  )
  return [
    `potok is ${running}; ${status.catalog === null ? `warehouse ${status.warehouse}` : `catalog ${status.catalog}`}`,
    ...(tables.length === 0 ? ['  no tables yet'] : tables),
    `log: ${status.logRecords} records; not yet committed: events ${status.lag.events}, rollup_5m ${status.lag.rollup_5m}`,
    `sealed until ${status.sealedUntil ?? 'nothing'}; dirty days: ${status.dirtyDays.join(', ') || 'none'}`,
  ].join('\n')
}
