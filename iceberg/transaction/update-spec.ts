/**
 * Changes of how a table is partitioned (Java client's `BaseUpdatePartitionSpec`): a new spec for files written
 * from now on; older files keep theirs. Pure.
 *
 * A field that any spec of the table had before is found again with its id, so that equal partitions are equal. In
 * format v1, whose fields are known by their place, a field that goes stays as `void`.
 */
import { PotokError } from '../../kernel/errors.ts'
import { namesOf } from '../spec/check-schema.ts'
import { currentSchema, partitionSpecById } from '../spec/schema.ts'
import type { PartitionField, TableMetadata } from '../spec/table-metadata.ts'
import { parseTransform } from '../spec/transforms.ts'
import type { MetadataChange } from './metadata-change.ts'

export type SpecChange =
  /** `transform` as the spec writes it: `identity`, `bucket[16]`, `day` … */
  | {
      readonly op: 'add'
      readonly column: string
      readonly transform: string
      readonly name?: string
    }
  | { readonly op: 'remove'; readonly name: string }
  | { readonly op: 'remove'; readonly column: string; readonly transform: string }
  | { readonly op: 'rename'; readonly name: string; readonly to: string }

type SpecDraft = {
  readonly metadata: TableMetadata
  readonly fields: readonly PartitionField[]
  readonly columns: ReadonlyMap<string, number>
  readonly added: PartitionField[]
  readonly removed: Set<number>
  readonly renamed: Map<number, string>
  lastPartitionId: number
}

export function updateSpec(
  metadata: TableMetadata,
  changes: readonly SpecChange[],
): MetadataChange {
  const before = partitionSpecById(metadata, metadata.defaultSpecId)
  const draft: SpecDraft = {
    metadata,
    fields: before.fields,
    columns: new Map(namesOf(currentSchema(metadata)).map(({ name, id }) => [name, id])),
    added: [],
    removed: new Set(),
    renamed: new Map(),
    lastPartitionId: metadata.lastPartitionId,
  }
  for (const change of changes) {
    if (change.op === 'add') add(draft, change)
    else if (change.op === 'rename') rename(draft, change.name, change.to)
    else remove(draft, change)
  }
  const fields = [...before.fields.flatMap((field) => fieldAfter(draft, field)), ...draft.added]
  const specId = metadata.partitionSpecs.reduce((next, each) => Math.max(next, each.specId + 1), 0)
  const isSame = JSON.stringify(fields) === JSON.stringify(before.fields)
  return {
    requirements: [
      { type: 'assert-table-uuid', uuid: metadata.tableUuid },
      { type: 'assert-default-spec-id', defaultSpecId: metadata.defaultSpecId },
      {
        type: 'assert-last-assigned-partition-id',
        lastAssignedPartitionId: metadata.lastPartitionId,
      },
      { type: 'assert-current-schema-id', currentSchemaId: metadata.currentSchemaId },
    ],
    updates: isSame
      ? []
      : [
          { action: 'add-spec', spec: { specId, fields } },
          { action: 'set-default-spec', specId: -1 },
        ],
  }
}

function fieldAfter({ metadata, removed, renamed }: SpecDraft, field: PartitionField) {
  const name = renamed.get(field.fieldId) ?? field.name
  if (!removed.has(field.fieldId)) return [{ ...field, name }]
  return metadata.formatVersion === 1 ? [{ ...field, name, transform: 'void' }] : []
}

function add(draft: SpecDraft, change: Extract<SpecChange, { op: 'add' }>): void {
  const sourceId = columnOf(draft, change.column)
  const { transform } = change
  if (['unknown', 'void'].includes(parseTransform(transform).name)) {
    throw invalid(`Cannot partition ${change.column} by ${transform}`)
  }
  const isIt = (field: PartitionField) =>
    field.sourceId === sourceId && field.transform === transform
  const existing = draft.fields.find(isIt)
  if (existing !== undefined && draft.removed.has(existing.fieldId)) {
    // Removed and added again by one change: it stays.
    draft.removed.delete(existing.fieldId)
    if (change.name !== undefined && change.name !== existing.name) {
      rename(draft, existing.name, change.name)
    }
    return
  }
  const name = change.name ?? defaultName(change.column, transform)
  const twin = existing ?? draft.added.find(isIt)
  if (twin !== undefined) {
    throw invalid(
      `Cannot add duplicate partition field ${name}=${transform}(${change.column}), conflicts with ${twin.name}`,
    )
  }
  checkTimes(draft, sourceId, transform, name)
  takeName(draft, name)
  draft.added.push({ sourceId, transform, ...idFor(draft, sourceId, transform, change.name, name) })
}

/** A field of an older spec, where one was the same (and, if a name is asked for, had it); else a new id. */
function idFor(
  draft: SpecDraft,
  sourceId: number,
  transform: string,
  askedName: string | undefined,
  name: string,
): Pick<PartitionField, 'fieldId' | 'name'> {
  const { metadata } = draft
  if (metadata.formatVersion > 1) {
    const known = metadata.partitionSpecs
      .flatMap((spec) => spec.fields)
      .find(
        (field) =>
          field.sourceId === sourceId &&
          field.transform === transform &&
          (askedName === undefined || field.name === askedName),
      )
    if (known !== undefined) return { fieldId: known.fieldId, name: known.name }
  }
  return { fieldId: ++draft.lastPartitionId, name }
}

/** Days and hours of one column say the same twice. */
function checkTimes(draft: SpecDraft, sourceId: number, transform: string, name: string): void {
  const times = ['year', 'month', 'day', 'hour']
  if (!times.includes(transform)) return
  const other = draft.added.find(
    (field) => field.sourceId === sourceId && times.includes(field.transform),
  )
  if (other !== undefined) {
    throw invalid(`Cannot add redundant partition field: ${other.name} conflicts with ${name}`)
  }
}

/** A field that goes, or is void already, gives its name away. */
function takeName(draft: SpecDraft, name: string): void {
  if (draft.added.some((field) => field.name === name)) {
    throw invalid(`Cannot add duplicate partition field: ${name}`)
  }
  const holder = draft.fields.find(
    (field) => (draft.renamed.get(field.fieldId) ?? field.name) === name,
  )
  if (holder === undefined) return
  if (holder.transform !== 'void' && !draft.removed.has(holder.fieldId)) {
    throw invalid(`Cannot add duplicate partition field name: ${name}`)
  }
  draft.renamed.set(holder.fieldId, `${name}_${holder.fieldId}`)
}

function remove(draft: SpecDraft, change: Extract<SpecChange, { op: 'remove' }>): void {
  const isIt = (field: PartitionField) =>
    'name' in change
      ? field.name === change.name
      : field.sourceId === columnOf(draft, change.column) && field.transform === change.transform
  const label = 'name' in change ? change.name : `${change.transform}(${change.column})`
  if (draft.added.some(isIt)) throw invalid(`Cannot delete newly added field: ${label}`)
  const field = draft.fields.find(isIt)
  if (field === undefined) throw invalid(`Cannot find partition field to remove: ${label}`)
  if (draft.renamed.has(field.fieldId)) {
    throw invalid(`Cannot rename and delete partition field: ${label}`)
  }
  draft.removed.add(field.fieldId)
}

function rename(draft: SpecDraft, name: string, to: string): void {
  if (draft.added.some((field) => field.name === name)) {
    throw invalid(`Cannot rename newly added partition field: ${name}`)
  }
  const field = draft.fields.find((each) => each.name === name)
  if (field === undefined) throw invalid(`Cannot find partition field to rename: ${name}`)
  if (draft.removed.has(field.fieldId)) {
    throw invalid(`Cannot delete and rename partition field: ${name}`)
  }
  takeName(draft, to)
  draft.renamed.set(field.fieldId, to)
}

function columnOf(draft: SpecDraft, column: string): number {
  const id = draft.columns.get(column)
  if (id === undefined) throw invalid(`Cannot find field '${column}' in the schema`)
  return id
}

/** As the Java client names them. */
function defaultName(column: string, transform: string): string {
  const parsed = parseTransform(transform)
  switch (parsed.name) {
    case 'bucket':
      return `${column}_bucket_${parsed.buckets}`
    case 'truncate':
      return `${column}_trunc_${parsed.width}`
    case 'year':
    case 'month':
    case 'day':
    case 'hour':
      return `${column}_${parsed.name}`
    case 'identity':
    case 'void':
    case 'unknown':
      return column
  }
}

function invalid(message: string): PotokError {
  return new PotokError('InvalidInput', message)
}
