/** `potok catalog tables`: every table of the catalog, whoever made it, with the totals that its snapshot tells. */
import type { Catalog, Namespace } from '../../iceberg/catalog.ts'
import { mainSnapshotId, snapshotById } from '../../iceberg/spec/schema.ts'
import { openInstallation } from '../installation.ts'
import { type CommandDefinition, print, toJson } from './command.ts'

type TableLine = {
  readonly table: string
  readonly formatVersion: number
  readonly location: string
  /** null: the snapshot's summary doesn't tell. */
  readonly rows: number | null
  readonly files: number | null
  readonly bytes: number | null
  readonly snapshotId: bigint | null
  readonly lastUpdated: string
}

export const catalogTablesCommand: CommandDefinition = {
  usage: 'tables',
  description: 'List all tables of the catalog with rows, files and size',
  run: async ({ settings }) => {
    const { catalog } = openInstallation(settings, 'catalog', { existing: true })
    try {
      const lines: TableLine[] = []
      for await (const line of tableLines(catalog, [])) {
        if (settings.json) lines.push(line)
        else print(describe(line))
      }
      if (settings.json) print(toJson(lines))
    } finally {
      await catalog.close()
    }
    return 0
  },
}

async function* tableLines(catalog: Catalog, namespace: Namespace): AsyncGenerator<TableLine> {
  if (namespace.length > 0) {
    for (const identifier of await catalog.listTables(namespace)) {
      const { metadata } = await catalog.loadTable(identifier)
      const snapshotId = mainSnapshotId(metadata)
      const summary = snapshotId === null ? empty : snapshotById(metadata, snapshotId).summary
      yield {
        table: [...identifier.namespace, identifier.name].join('.'),
        formatVersion: metadata.formatVersion,
        location: metadata.location,
        rows: total(summary, 'total-records'),
        files: total(summary, 'total-data-files'),
        bytes: total(summary, 'total-files-size'),
        snapshotId,
        lastUpdated: new Date(metadata.lastUpdatedMs).toISOString(),
      }
    }
  }
  for (const below of await catalog.listNamespaces(namespace)) yield* tableLines(catalog, below)
}

const empty = { 'total-records': '0', 'total-data-files': '0', 'total-files-size': '0' }

function total(summary: Readonly<Record<string, string>>, key: string): number | null {
  const value = Number(summary[key] ?? Number.NaN)
  return Number.isSafeInteger(value) ? value : null
}

function describe(line: TableLine): string {
  const figure = (value: number | null) => (value === null ? '?' : String(value))
  const kib = line.bytes === null ? null : Math.ceil(line.bytes / 1024)
  return `${line.table.padEnd(32)} ${figure(line.rows).padStart(12)} rows ${figure(line.files).padStart(6)} files ${figure(kib).padStart(9)} KiB   v${line.formatVersion}, last commit ${line.lastUpdated}`
}
