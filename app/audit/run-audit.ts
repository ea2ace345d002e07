/**
 * `potok verify`: audits an installation from its tables alone, running or stopped. It changes nothing.
 */
import type { Catalog, LoadedTable } from '../../iceberg/catalog.ts'
import { type LiveFile, planScan } from '../../iceberg/scan/plan-files.ts'
import { describeError } from '../../kernel/errors.ts'
import type { ObjectStore, ParquetReader } from '../../kernel/ports.ts'
import { allTables, namespaceName } from '../../kernel/tables.ts'
import { type AuditIo, checkFiles, findOrphans } from './check-files.ts'
import { checkPositions } from './check-positions.ts'
import { checkSealed } from './check-sealed.ts'
import { type AuditReport, type CheckReport, createCheck } from './report.ts'
import type { SqlRunner } from './sql.ts'

export type AuditPorts = AuditIo & {
  readonly catalog: Catalog
  readonly reader: ParquetReader
  readonly sql: SqlRunner
  readonly store: ObjectStore
}

export async function runAudit(
  ports: AuditPorts,
  warehouse: string,
  progress: (step: string) => void,
): Promise<AuditReport> {
  progress('loading the tables')
  const tables = await loadConsistently(ports.catalog)
  progress('checking files')
  const files = await checkFiles(ports, [...tables.values()])
  const live = new Map<string, LiveFile[]>()
  for (const [name, table] of tables) {
    // A table whose manifests can't be read was reported above; its rows can't be checked.
    live.set(name, await liveFiles(ports, table))
  }
  const checks: CheckReport[] = [...files.reports]
  const isWhole = (name: string) =>
    (live.get(name) ?? []).every(({ dataFile }) => !files.missing.has(dataFile.filePath))
  const paths = (name: string) =>
    Promise.all(
      (live.get(name) ?? []).map(({ dataFile }) => ports.store.localPath(dataFile.filePath)),
    )
  const events = need(tables, 'events')
  const rejected = need(tables, 'rejected_events')
  if (isWhole('events') && isWhole('rejected_events')) {
    progress('checking log positions')
    checks.push(
      await attempt('log-positions', async () =>
        checkPositions(
          ports.sql,
          { table: events, paths: await paths('events') },
          { table: rejected, paths: await paths('rejected_events') },
          need(tables, 'rollup_5m'),
        ),
      ),
    )
  } else {
    checks.push(skipped('log-positions', 'files of events or rejected_events are missing'))
  }
  const rollupNames = ['rollup_5m', 'rollup_1h', 'rollup_1d'] as const
  if (isWhole('events') && rollupNames.every(isWhole)) {
    progress('recomputing sealed windows')
    checks.push(
      await attempt('sealed-windows', () =>
        checkSealed(ports, {
          events,
          eventFiles: live.get('events') ?? [],
          rollups: rollupNames.map((name) => ({
            name,
            table: need(tables, name),
            files: live.get(name) ?? [],
          })),
        }),
      ),
    )
  } else {
    checks.push(skipped('sealed-windows', 'files of events or of a rollup table are missing'))
  }
  progress('looking for orphans')
  const orphans = await findOrphans(ports.store, [...tables.values()], files.referenced)
  return {
    warehouse,
    checks,
    orphans,
    findings: checks.reduce((sum, c) => sum + c.findings.length + c.findingsNotListed, 0),
  }
}

async function liveFiles(ports: AuditPorts, table: LoadedTable): Promise<LiveFile[]> {
  try {
    return (await planScan(ports, table.metadata)).files
  } catch {
    return []
  }
}

/** Files that are there and of the right size may still be damaged: what can't be read is a finding. */
async function attempt(name: string, check: () => Promise<CheckReport>): Promise<CheckReport> {
  try {
    return await check()
  } catch (error) {
    return skipped(name, `the tables can't be read: ${describeError(error)}`)
  }
}

/** A check that could not be made is a finding: it must never look like a pass. */
function skipped(name: string, why: string): CheckReport {
  const check = createCheck(name, 'not checked')
  check.find(`not checked, since ${why}`)
  return check.report()
}

function need(tables: ReadonlyMap<string, LoadedTable>, name: string): LoadedTable {
  const table = tables.get(name)
  if (table === undefined) throw new RangeError(`no table ${name}`)
  return table
}

/** All tables as of one version of the catalog, as far as a busy installation lets us. */
async function loadConsistently(catalog: Catalog): Promise<Map<string, LoadedTable>> {
  const identifiers = allTables.map(({ name }) => ({ namespace: [namespaceName], name }))
  for (let attempt = 0; ; attempt++) {
    const before = await catalog.version(identifiers)
    const tables = new Map<string, LoadedTable>()
    for (const identifier of identifiers) {
      tables.set(identifier.name, await catalog.loadTable(identifier))
    }
    if ((await catalog.version(identifiers)) === before) return tables
    if (attempt >= 50) throw new RangeError('the catalog changes too fast for a consistent look')
  }
}
