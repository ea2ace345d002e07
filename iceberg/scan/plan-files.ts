/**
 * Scan planning: the live files of a snapshot that may hold rows of a filter. Three sieves, each of which may
 * only let go what certainly doesn't match: manifests by the partition summaries in the manifest list, files
 * by their partition, files by the bounds of their columns. Rows are filtered by whoever reads the files.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { decodeSingleValue, isOfType } from '../codec/single-value.ts'
import type { DataFile, ManifestEntry, ManifestFile, PartitionValue } from '../spec/data-file.ts'
import {
  currentSchema,
  fieldByName,
  mainSnapshotId,
  partitionSpecById,
  partitionTypes,
  snapshotById,
} from '../spec/schema.ts'
import type { IcebergType, NestedField, TableMetadata } from '../spec/table-metadata.ts'
import { parseTransform } from '../spec/transforms.ts'
import { type LiveFile, liveFileOf } from './live-files.ts'
import { loadManifests } from './load-manifests.ts'
import type { ManifestCache } from './manifest-cache.ts'
import { mayOverlap, projectRange, type Range, rangeOf, type ScanFilter } from './scan-filter.ts'

export type { LiveFile } from './live-files.ts'
export { createManifestCache, type ManifestCache } from './manifest-cache.ts'

export type PlannedScan = { readonly files: LiveFile[]; readonly deleteFiles: LiveFile[] }

export async function planScan(
  io: { readonly store: ObjectStore; readonly manifests: ManifestCache },
  metadata: TableMetadata,
  options: { readonly snapshotId?: bigint; readonly filter?: ScanFilter } = {},
): Promise<PlannedScan> {
  const snapshotId = options.snapshotId ?? mainSnapshotId(metadata)
  if (snapshotId === null) return { files: [], deleteFiles: [] }
  const snapshot = snapshotById(metadata, snapshotId)
  const columns = columnRanges(metadata, options.filter ?? [])
  const sieves = new Map<number, PartitionSieve>()
  const sieveOf = (specId: number): PartitionSieve => {
    const found = sieves.get(specId) ?? partitionSieve(metadata, specId, columns)
    sieves.set(specId, found)
    return found
  }

  const manifests = (await io.manifests.manifestList(snapshot.manifestList)).filter(
    (manifest) =>
      (manifest.addedFilesCount !== 0 || manifest.existingFilesCount !== 0) &&
      sieveOf(manifest.partitionSpecId).mayHoldManifest(manifest),
  )
  const result: PlannedScan = { files: [], deleteFiles: [] }
  // In portions: entries that are sieved out need not wait in memory for the last manifest.
  const portion = 64
  for (let start = 0; start < manifests.length; start += portion) {
    const part = manifests.slice(start, start + portion)
    const loaded = await loadManifests(io.manifests, part)
    for (const [i, manifest] of part.entries()) {
      const sieve = sieveOf(manifest.partitionSpecId)
      for (const entry of loaded[i] as readonly ManifestEntry[]) {
        if (entry.status === 'deleted') continue
        if (!sieve.mayHoldPartition(entry.dataFile.partition)) continue
        // Delete files: their columns are those of the deletes, not of the rows asked for.
        if (entry.dataFile.content !== 'data') {
          result.deleteFiles.push(liveFileOf(entry, manifest))
        } else if (mayHoldRows(entry.dataFile, columns)) {
          result.files.push(liveFileOf(entry, manifest))
        }
      }
    }
  }
  return result
}

type ColumnRange = { readonly field: NestedField; readonly range: Range }

function columnRanges(metadata: TableMetadata, filter: ScanFilter): ColumnRange[] {
  const schema = currentSchema(metadata)
  return filter.map((predicate) => {
    const field = fieldByName(schema, predicate.column)
    if (field === null || typeof field.type !== 'string') {
      throw new PotokError('InvalidInput', `no column ${predicate.column} can be filtered by`, {
        context: { location: metadata.location, column: predicate.column },
      })
    }
    const values = predicate.op === 'in' ? predicate.values : [predicate.value]
    if (!values.every((value) => isOfType(field.type, value))) {
      throw new PotokError('InvalidInput', `${predicate.column} is compared with another type`, {
        context: { column: predicate.column, type: field.type },
      })
    }
    return { field, range: rangeOf(predicate) }
  })
}

type PartitionSieve = {
  mayHoldManifest(manifest: ManifestFile): boolean
  mayHoldPartition(partition: readonly PartitionValue[]): boolean
}

function partitionSieve(
  metadata: TableMetadata,
  specId: number,
  columns: readonly ColumnRange[],
): PartitionSieve {
  const spec = partitionSpecById(metadata, specId)
  const types = partitionTypes(metadata.schemas, spec)
  const checks: { at: number; type: IcebergType; range: Range }[] = []
  for (const [at, partitionField] of spec.fields.entries()) {
    for (const { field, range } of columns) {
      if (field.id !== partitionField.sourceId) continue
      const projected = projectRange(parseTransform(partitionField.transform), field.type, range)
      if (projected !== null) checks.push({ at, type: types[at] as IcebergType, range: projected })
    }
  }
  return {
    mayHoldManifest: (manifest) =>
      checks.every(({ at, type, range }) => {
        const summary = manifest.partitions?.[at]
        if (summary === undefined) return true
        const lower = summary.lowerBound && decodeSingleValue(type, summary.lowerBound)
        const upper = summary.upperBound && decodeSingleValue(type, summary.upperBound)
        return mayOverlap(range, lower ?? null, upper ?? null)
      }),
    mayHoldPartition: (partition) =>
      checks.every(({ at, range }) => {
        const value = partition[at]
        if (value === undefined) return true
        // Rows without a value match no comparison.
        return value !== null && mayOverlap(range, value, value)
      }),
  }
}

function mayHoldRows(file: DataFile, columns: readonly ColumnRange[]): boolean {
  return columns.every(({ field, range }) => {
    const values = file.valueCounts?.get(field.id)
    const nulls = file.nullValueCounts?.get(field.id)
    if (values !== undefined && nulls !== undefined && values > 0 && nulls >= values) return false
    const lower = file.lowerBounds?.get(field.id)
    const upper = file.upperBounds?.get(field.id)
    return mayOverlap(
      range,
      lower === undefined ? null : decodeSingleValue(field.type, lower),
      upper === undefined ? null : decodeSingleValue(field.type, upper),
    )
  })
}
