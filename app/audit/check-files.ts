/**
 * Every file that a retained snapshot refers to is there and as large as said; no file is live twice.
 *
 * Snapshots share nearly all of their manifests: each manifest is read once, so that the work grows with the
 * table and not with the number of snapshots that it keeps.
 */
import type { LoadedTable } from '../../iceberg/catalog.ts'
import type { ManifestCache } from '../../iceberg/scan/plan-files.ts'
import type { ManifestFile } from '../../iceberg/spec/data-file.ts'
import { describeError, isPotokError } from '../../kernel/errors.ts'
import type { ObjectStat, ObjectStore } from '../../kernel/ports.ts'
import { type CheckReport, createCheck } from './report.ts'

const statsAtOnce = 32

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
    const { name } = table.identifier
    const sizes = new Map<string, number>()
    const manifestsSeen = new Set<string>()
    const { snapshots, currentSnapshotId } = table.metadata
    for (const snapshot of snapshots) {
      const isCurrent = snapshot.snapshotId === currentSnapshotId
      const context = { table: name, snapshot: String(snapshot.snapshotId) }
      present.count('snapshots')
      referenced.add(snapshot.manifestList)
      let manifests: readonly ManifestFile[]
      try {
        manifests = await io.manifests.manifestList(snapshot.manifestList)
      } catch (error) {
        if (!isPotokError(error)) throw error
        present.find(
          `snapshot ${snapshot.snapshotId} of ${name} can't be read: ${describeError(error)}`,
          context,
        )
        continue
      }
      const live = new Set<string>()
      for (const manifest of manifests) {
        const isNew = !manifestsSeen.has(manifest.manifestPath)
        if (!isNew && !isCurrent) continue
        manifestsSeen.add(manifest.manifestPath)
        referenced.add(manifest.manifestPath)
        try {
          for (const { status, dataFile } of await io.manifests.manifest(manifest)) {
            if (status === 'deleted') continue
            sizes.set(dataFile.filePath, dataFile.fileSizeBytes)
            if (!isCurrent) continue
            if (live.has(dataFile.filePath)) {
              once.find(`${dataFile.filePath} is live twice in ${name}`, {
                table: name,
                file: dataFile.filePath,
              })
            }
            live.add(dataFile.filePath)
          }
        } catch (error) {
          if (!isPotokError(error)) throw error
          if (!isNew) continue
          present.find(
            `snapshot ${snapshot.snapshotId} of ${name} can't be read: ${describeError(error)}`,
            context,
          )
        }
      }
      if (isCurrent) once.count('files', live.size)
    }
    for await (const { location, sizeBytes, stat } of statAll(io.store, sizes)) {
      present.count('files')
      referenced.add(location)
      if (stat !== null && stat.sizeBytes === sizeBytes) continue
      missing.add(location)
      present.find(
        stat === null
          ? `${location} of ${name} is not there`
          : `${location} of ${name} has ${stat.sizeBytes} bytes instead of ${sizeBytes}`,
        { table: name, file: location },
      )
    }
  }
  return { reports: [present.report(), once.report()], referenced, missing }
}

/** In order, several at a time: a store over a network takes long for each. */
async function* statAll(
  store: ObjectStore,
  sizes: ReadonlyMap<string, number>,
): AsyncGenerator<{ location: string; sizeBytes: number; stat: ObjectStat | null }> {
  const all = [...sizes]
  for (let i = 0; i < all.length; i += statsAtOnce) {
    const some = all.slice(i, i + statsAtOnce)
    yield* await Promise.all(
      some.map(async ([location, sizeBytes]) => ({
        location,
        sizeBytes,
        stat: await store.stat(location),
      })),
    )
  }
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
