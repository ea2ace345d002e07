/**
 * Three sieves of scan planning: manifests by their partition summaries, files by their partition, files by
 * the bounds of their columns. Each lets go only what certainly holds no matching row. Every file is judged by
 * its own partition spec, and by field id: what a column was called when the file was written doesn't matter.
 */
import { decodeSingleValue, type SingleValue } from '../codec/single-value.ts'
import type { DataFile, FieldSummary, ManifestFile, PartitionValue } from '../spec/data-file.ts'
import { partitionSpecById } from '../spec/schema.ts'
import type { IcebergType, NestedField, TableMetadata } from '../spec/table-metadata.ts'
import { parseTransform, resultTypeOf } from '../spec/transforms.ts'
import { type BoundFilter, type BoundPredicate, isFloating, type ValueTest } from './bind-filter.ts'
import { projectTest } from './project-test.ts'
import { mayPass, type ValueSummary } from './value-summary.ts'

export type PartitionSieve = {
  mayHoldManifest(manifest: ManifestFile): boolean
  mayHoldPartition(partition: readonly PartitionValue[]): boolean
}

type PartitionTest = { readonly at: number; readonly type: IcebergType; readonly test: ValueTest }

export function partitionSieve(
  metadata: TableMetadata,
  specId: number,
  filter: BoundFilter,
): PartitionSieve {
  const spec = partitionSpecById(metadata, specId)
  const cached = new Map<BoundPredicate, PartitionTest[]>()
  const testsOf = (predicate: BoundPredicate): PartitionTest[] => {
    const found = cached.get(predicate)
    if (found !== undefined) return found
    const tests = spec.fields.flatMap((partitionField, at): PartitionTest[] => {
      if (partitionField.sourceId !== predicate.field.id) return []
      const transform = parseTransform(partitionField.transform)
      const test = projectTest(transform, predicate.field.type, predicate.test)
      // Of fields that no predicate asks for no type is needed: their column may be long gone.
      return test === null
        ? []
        : [{ at, type: resultTypeOf(transform, predicate.field.type), test }]
    })
    cached.set(predicate, tests)
    return tests
  }
  const passes = (summaryAt: (at: number, type: IcebergType) => ValueSummary | null) =>
    mayHold(filter, (predicate) =>
      testsOf(predicate).every(({ at, type, test }) => {
        const summary = summaryAt(at, type)
        return summary === null || mayPass(summary, test)
      }),
    )
  return {
    mayHoldManifest: ({ partitions }) =>
      passes((at, type) => {
        const summary = partitions?.[at]
        return summary === undefined ? null : summaryOfManifest(type, summary)
      }),
    mayHoldPartition: (partition) =>
      passes((at, type) => {
        const value = partition[at]
        return value === undefined ? null : summaryOfPartition(type, value)
      }),
  }
}

/** Whether a data file may hold matching rows, by what its manifest entry says of its columns. */
export function mayHoldRows(file: DataFile, filter: BoundFilter): boolean {
  return mayHold(filter, ({ path, field, test }) =>
    mayPass(summaryOfColumn(file, field, path.length > 1), test),
  )
}

function mayHold(filter: BoundFilter, test: (predicate: BoundPredicate) => boolean): boolean {
  switch (filter.op) {
    case 'and':
      return filter.of.every((each) => mayHold(each, test))
    case 'or':
      return filter.of.some((each) => mayHold(each, test))
    case 'test':
      return test(filter)
  }
}

function summaryOfManifest(type: IcebergType, summary: FieldSummary): ValueSummary {
  return {
    type,
    lower: decodeBound(type, summary.lowerBound),
    upper: decodeBound(type, summary.upperBound),
    mayHoldNull: summary.containsNull,
    mayHoldNan: isFloating(type) && summary.containsNan !== false,
    mayHoldValue: true,
  }
}

function summaryOfPartition(type: IcebergType, value: PartitionValue): ValueSummary {
  return {
    type,
    lower: value,
    upper: value,
    mayHoldNull: value === null,
    mayHoldNan: typeof value === 'number' && Number.isNaN(value),
    mayHoldValue: value !== null,
  }
}

function summaryOfColumn(file: DataFile, field: NestedField, isNested: boolean): ValueSummary {
  const { id, type } = field
  // Of a struct, list or map nothing is kept but its leaves.
  const values = typeof type === 'string' ? file.valueCounts?.get(id) : undefined
  const nulls = typeof type === 'string' ? file.nullValueCounts?.get(id) : undefined
  return {
    type,
    lower: decodeBound(type, file.lowerBounds?.get(id)),
    upper: decodeBound(type, file.upperBounds?.get(id)),
    // Not every writer counts a field of a null struct.
    mayHoldNull: nulls !== 0 || isNested,
    mayHoldNan: isFloating(type) && file.nanValueCounts?.get(id) !== 0,
    mayHoldValue: values === undefined || nulls === undefined || values === 0 || nulls < values,
  }
}

function decodeBound(type: IcebergType, bytes: Uint8Array | undefined): SingleValue | null {
  return bytes === undefined ? null : decodeSingleValue(type, bytes)
}
