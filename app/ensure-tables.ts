/**
 * Makes namespace, tables and views that are missing. Safe to run from several processes at once; what is
 * there is left as it is, but for properties that potok needs.
 */
import { type Catalog, type TableIdentifier } from '../iceberg/catalog.ts'
import { partitionSpecOf, schemaOf, sortOrderOf } from '../iceberg/spec/from-definition.ts'
import type { ViewMetadata } from '../iceberg/spec/view-metadata.ts'
import { describeError, isPotokError } from '../kernel/errors.ts'
import type { Clock, IdSource, Logger } from '../kernel/ports.ts'
import { allTables, eventsTable, namespaceName } from '../kernel/tables.ts'
import { allViews, type ViewDefinition } from '../kernel/views.ts'

/** Metadata stays small under a commit every few seconds: old versions and snapshots go (docs/operations). */
const upkeepProperties: Readonly<Record<string, string>> = {
  'write.format.default': 'parquet',
  'write.parquet.compression-codec': 'zstd',
  'write.metadata.delete-after-commit.enabled': 'true',
  'write.metadata.previous-versions-max': '20',
  'history.expire.min-snapshots-to-keep': '20',
  'potok.snapshot-upkeep': 'true',
}

const minuteMs = 60_000
/**
 * A snapshot is some 700 bytes in the metadata that each commit writes anew: tables that a sink commits to
 * every few seconds keep minutes of them, the others a month.
 */
const snapshotAgeMs: Readonly<Record<string, number>> = {
  events: 30 * minuteMs,
  rejected_events: 30 * minuteMs,
  rollup_5m: 10 * minuteMs,
}
const snapshotAgeMsElsewhere = 30 * 24 * 60 * minuteMs

export async function ensureTables(ports: {
  catalog: Catalog
  clock: Clock
  ids: IdSource
  logger: Logger
}): Promise<void> {
  const { catalog } = ports
  const namespace = [namespaceName]
  await ignoreExisting(catalog.createNamespace(namespace, {}))
  const tables = new Set((await catalog.listTables(namespace)).map(({ name }) => name))
  for (const definition of allTables) {
    if (tables.has(definition.name)) continue
    await ignoreExisting(
      catalog.createTable({
        identifier: { namespace, name: definition.name },
        schema: schemaOf(definition),
        partitionSpec: partitionSpecOf(definition),
        sortOrder: sortOrderOf(definition),
        properties: {
          ...upkeepProperties,
          'history.expire.max-snapshot-age-ms': String(
            snapshotAgeMs[definition.name] ?? snapshotAgeMsElsewhere,
          ),
          comment: definition.doc,
        },
      }),
    )
  }
  try {
    await ensureViews(ports)
  } catch (error) {
    // They are for engines only: potok itself reads none.
    if (!isPotokError(error, 'Unsupported')) throw error
    ports.logger.warn({ error: describeError(error) }, 'the catalog keeps no views: there are none')
  }
}

async function ensureViews(ports: {
  catalog: Catalog
  clock: Clock
  ids: IdSource
}): Promise<void> {
  const { catalog } = ports
  const namespace = [namespaceName]
  const views = new Set((await catalog.listViews(namespace)).map(({ name }) => name))
  const missing = allViews.filter(({ name }) => !views.has(name))
  if (missing.length === 0) return
  // Beside the tables, wherever the catalog puts them.
  const table = await catalog.loadTable({ namespace, name: eventsTable.name })
  const folder = table.metadata.location.replace(/\/[^/]*$/, '')
  for (const view of missing) {
    const identifier: TableIdentifier = { namespace, name: view.name }
    const metadata = viewMetadata(view, `${folder}/${view.name}`, ports)
    await ignoreExisting(catalog.createView(identifier, metadata))
  }
}

function viewMetadata(
  view: ViewDefinition,
  location: string,
  ports: { clock: Clock; ids: IdSource },
): ViewMetadata {
  const timestampMs = ports.clock.nowMs()
  return {
    viewUuid: ports.ids.uuid(),
    formatVersion: 1,
    location,
    schemas: [
      {
        type: 'struct',
        schemaId: 0,
        fields: view.columns.map(({ id, name, type }) => ({ id, name, type, required: false })),
      },
    ],
    currentVersionId: 1,
    versions: [
      {
        versionId: 1,
        schemaId: 0,
        timestampMs,
        summary: { 'engine-name': 'potok' },
        representations: Object.entries(view.sql).map(([dialect, sql]) => ({
          type: 'sql',
          dialect,
          sql,
        })),
        // Trino resolves a view's tables only where it is told the catalog's name: `potok` by convention.
        defaultCatalog: 'potok',
        defaultNamespace: [namespaceName],
      },
    ],
    versionLog: [{ timestampMs, versionId: 1 }],
    properties: {},
  }
}

async function ignoreExisting(work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!isPotokError(error, 'AlreadyExists')) throw error
  }
}
