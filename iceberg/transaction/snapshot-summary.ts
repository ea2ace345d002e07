/** The summary of a snapshot, with the keys and rules of the Java client (spec, "Optional Snapshot Summary Fields"). */
import type { DataFile, PartitionValue } from '../spec/data-file.ts'
import type { Snapshot, SnapshotOperation } from '../spec/table-metadata.ts'

type Tally = {
  dataFiles: number
  deleteFiles: number
  records: number
  sizeBytes: number
  positionDeleteFiles: number
  positionDeletes: number
  equalityDeleteFiles: number
  equalityDeletes: number
}

export function snapshotSummary(options: {
  readonly operation: SnapshotOperation
  readonly given: Readonly<Record<string, string>>
  readonly added: readonly DataFile[]
  readonly removed: readonly DataFile[]
  readonly manifests: { created: number; kept: number; replaced: number; entriesProcessed: number }
  /** null: the table had no snapshot, all totals begin at 0. */
  readonly parent: Snapshot | null
}): Snapshot['summary'] {
  const added = tally(options.added)
  const removed = tally(options.removed)
  const summary: Record<string, string> = { ...options.given }
  const setIfAny = (key: string, value: number) => {
    if (value > 0) summary[key] = String(value)
  }
  setIfAny('added-data-files', added.dataFiles)
  setIfAny('deleted-data-files', removed.dataFiles)
  setIfAny('added-delete-files', added.deleteFiles)
  setIfAny('removed-delete-files', removed.deleteFiles)
  setIfAny('added-position-delete-files', added.positionDeleteFiles)
  setIfAny('removed-position-delete-files', removed.positionDeleteFiles)
  setIfAny('added-equality-delete-files', added.equalityDeleteFiles)
  setIfAny('removed-equality-delete-files', removed.equalityDeleteFiles)
  setIfAny('added-records', added.records)
  setIfAny('deleted-records', removed.records)
  setIfAny('added-files-size', added.sizeBytes)
  setIfAny('removed-files-size', removed.sizeBytes)
  setIfAny('added-position-deletes', added.positionDeletes)
  setIfAny('removed-position-deletes', removed.positionDeletes)
  setIfAny('added-equality-deletes', added.equalityDeletes)
  setIfAny('removed-equality-deletes', removed.equalityDeletes)
  summary['changed-partition-count'] = String(countPartitions([options.added, options.removed]))
  summary['manifests-created'] = String(options.manifests.created)
  summary['manifests-kept'] = String(options.manifests.kept)
  summary['manifests-replaced'] = String(options.manifests.replaced)
  summary['entries-processed'] = String(options.manifests.entriesProcessed)

  const total = (key: string, plus: number, minus: number) => {
    const before = options.parent === null ? '0' : options.parent.summary[key]
    // A parent of a writer that counts nothing: a total made up now would be wrong for ever.
    if (before === undefined || !/^\d+$/.test(before)) return
    const after = Number(before) + plus - minus
    if (Number.isSafeInteger(after) && after >= 0) summary[key] = String(after)
  }
  total('total-records', added.records, removed.records)
  total('total-files-size', added.sizeBytes, removed.sizeBytes)
  total('total-data-files', added.dataFiles, removed.dataFiles)
  total('total-delete-files', added.deleteFiles, removed.deleteFiles)
  total('total-position-deletes', added.positionDeletes, removed.positionDeletes)
  total('total-equality-deletes', added.equalityDeletes, removed.equalityDeletes)
  return { ...summary, operation: options.operation }
}

function tally(files: readonly DataFile[]): Tally {
  const result: Tally = {
    dataFiles: 0,
    deleteFiles: 0,
    records: 0,
    sizeBytes: 0,
    positionDeleteFiles: 0,
    positionDeletes: 0,
    equalityDeleteFiles: 0,
    equalityDeletes: 0,
  }
  for (const file of files) {
    result.sizeBytes += file.fileSizeBytes
    switch (file.content) {
      case 'data':
        result.dataFiles++
        result.records += file.recordCount
        break
      case 'position-deletes':
        result.deleteFiles++
        result.positionDeleteFiles++
        result.positionDeletes += file.recordCount
        break
      case 'equality-deletes':
        result.deleteFiles++
        result.equalityDeleteFiles++
        result.equalityDeletes += file.recordCount
        break
    }
  }
  return result
}

function keyOf(value: PartitionValue): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

function countPartitions(lists: readonly (readonly DataFile[])[]): number {
  const keys = new Set<string>()
  for (const files of lists) {
    for (const file of files) {
      keys.add(`${file.specId}:${file.partition.map(keyOf).join()}`)
    }
  }
  return keys.size
}
