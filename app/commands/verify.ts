/** `potok verify`: the audit; exit code 3 where it finds something. */
import { createDuckDbParquetReader } from '../../adapters/duckdb/duckdb-parquet-reader.ts'
import { openDuckDb } from '../../adapters/duckdb/instance.ts'
import type { AuditReport } from '../audit/report.ts'
import { runAudit } from '../audit/run-audit.ts'
import { type Installation, openInstallation } from '../installation.ts'
import { bytesPerMib } from '../settings.ts'
import { type CommandDefinition, note, print, toJson } from './command.ts'

export const verifyCommand: CommandDefinition = {
  usage: 'verify',
  description:
    'Audit an installation, running or stopped, from its tables alone; exit 3 with findings',
  settings: ['engineMemoryMib'],
  run: async ({ settings }) => {
    const report = await audit(openInstallation(settings, 'verify', { existing: true }), (step) => {
      if (process.stderr.isTTY) note(`… ${step}`)
    })
    if (settings.json) print(toJson(report))
    else print(describeReport(report))
    return report.findings === 0 ? 0 : 3
  },
}

export async function audit(
  installation: Installation,
  progress: (step: string) => void,
): Promise<AuditReport> {
  const { settings, store, catalog, manifests } = installation
  const duckdb = await openDuckDb({
    memoryLimitBytes: settings.engineMemoryMib * bytesPerMib,
    threads: 2,
    tempDirectory: installation.scratch,
  })
  const connection = await duckdb.connect()
  try {
    const reader = createDuckDbParquetReader({ store, duckdb })
    const sql = {
      rows: async (text: string) => (await connection.runAndReadAll(text)).getRowObjectsJS(),
    }
    return await runAudit(
      { store, catalog, manifests, reader, sql },
      installation.catalogAccess.uri ?? installation.warehouse,
      progress,
    )
  } finally {
    connection.closeSync()
    duckdb.close()
  }
}

export function describeReport(report: AuditReport): string {
  const lines = [`Audit of ${report.warehouse}`]
  for (const check of report.checks) {
    const findings = check.findings.length + check.findingsNotListed
    const counts = Object.entries(check.counts).map(
      ([name, n]) => `${n} ${name.replaceAll('_', ' ')}`,
    )
    lines.push(
      `${findings === 0 ? 'ok     ' : 'FINDING'} ${check.check}: ${check.promise} (${counts.join(', ') || 'nothing to check'})`,
    )
    for (const finding of check.findings) lines.push(`        - ${finding.message}`)
    if (check.findingsNotListed > 0) lines.push(`        - … and ${check.findingsNotListed} more`)
  }
  lines.push(
    `${report.orphans.files} orphan files (${report.orphans.bytes} bytes): no findings; left over from interrupted or replaced work`,
    report.findings === 0 ? 'No findings.' : `${report.findings} findings.`,
  )
  return lines.join('\n')
}
