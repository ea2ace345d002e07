/** Every file that a retained snapshot refers to is there and as large as said; no file is live twice. */
import type { LoadedTable } from '../../iceberg/catalog.ts'
import { type ManifestCache, planScan } from '../../iceberg/scan/plan-files.ts'
import { describeError, isPotokError } from '../../kernel/errors.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { type CheckReport, createCheck } from './report.ts'

export type AuditIo = { readonly store: ObjectStore; readonly manifests: ManifestCache }

export type FilesAudit = {
  readonly reports: readonly CheckReport[]
  /** Every location that the tables refer to. */
  readonly referenced: ReadonlySet<string>
  /** Live data files that are not there: later checks leave their tables out rather than fail. */
  readonly missing: ReadonlySet<string>
}

export async function checkFiles(io: AuditIo, tables: readonly LoadedTable[]): Promise<FilesAudit> {
  const present = createCheck(
    'files-present',
    'every file that a retained snapshot refers to is there and as large as said',
  )
  const once = createCheck('files-once', 'no data file is live twice in one snapshot')
  const referenced = new Set<string>()
  const missing = new Set<string>()
  for (const table of tables) {
    present.count('tables')
    referenced.add(table.metadataLocation)
    for (const entry of table.metadata.metadataLog) referenced.add(entry.metadataFile)
    const sizes = new Map<string, number>()
    for (const snapshot of table.metadata.snapshots) {
      present.count('snapshots')
      referenced.add(snapshot.manifestList)
      try {
        const isCurrent = snapshot.snapshotId === table.metadata.currentSnapshotId
        const { files, deleteFiles } = await planScan(io, table.metadata, {
          snapshotId: snapshot.snapshotId,
        })
        const live = new Set<string>()
        for (const { dataFile, manifestPath } of [...files, ...deleteFiles]) {
          referenced.add(manifestPath)
          if (isCurrent && live.has(dataFile.filePath)) {
            once.find(`${dataFile.filePath} is live twice in ${table.identifier.name}`, {
              table: table.identifier.name,
              file: dataFile.filePath,
            })
          }
          live.add(dataFile.filePath)
          sizes.set(dataFile.filePath, dataFile.fileSizeBytes)
        }
        if (isCurrent) once.count('files', live.size)
      } catch (error) {
        present.find(
          `snapshot ${snapshot.snapshotId} of ${table.identifier.name} can't be read: ${describeError(error)}`,
          { table: table.identifier.name, snapshot: String(snapshot.snapshotId) },
        )
        if (!isPotokError(error)) throw error
      }
    }
    for (const [location, sizeBytes] of sizes) {
      present.count('files')
      referenced.add(location)
      const stat = await io.store.stat(location)
      if (stat !== null && stat.sizeBytes === sizeBytes) continue
      missing.add(location)
      present.find(
        stat === null
          ? `${location} of ${table.identifier.name} is not there`
          : `${location} of ${table.identifier.name} has ${stat.sizeBytes} bytes instead of ${sizeBytes}`,
        { table: table.identifier.name, file: location },
      )
    }
  }
  return { reports: [present.report(), once.report()], referenced, missing }
}

/** Files below the tables' locations that nothing refers to. Young ones may belong to a commit under way. */
export async function findOrphans(
  store: ObjectStore,
  tables: readonly LoadedTable[],
  referenced: ReadonlySet<string>,
): Promise<{ files: number; bytes: number; examples: string[] }> {
  const result = { files: 0, bytes: 0, examples: [] as string[] }
  for (const table of tables) {
    for await (const object of store.list(`${table.metadata.location}/`)) {
      if (referenced.has(object.location)) continue
      result.files++
      result.bytes += object.sizeBytes
      if (result.examples.length < 5) result.examples.push(object.location)
    }
  }
  return result
}
