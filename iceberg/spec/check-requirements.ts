/**
 * Requirements of a commit (REST specification, "TableRequirement"), checked against the table as it is now.
 * A failed one is CommitConflict: definitely not in, and the client may look again and retry. The wording is
 * the reference implementation's, because clients and its compatibility kit compare it.
 */
import { PotokError } from '../../kernel/errors.ts'
import { refByName } from './schema.ts'
import type { TableMetadata } from './table-metadata.ts'
import type { TableRequirement } from './table-updates.ts'
import type { ViewMetadata, ViewRequirement } from './view-metadata.ts'

/** `metadata` is null where the table doesn't exist: then only `assert-create` can hold. */
export function checkRequirements(
  requirements: readonly TableRequirement[],
  metadata: TableMetadata | null,
): void {
  for (const requirement of requirements) {
    const failure =
      metadata === null
        ? requirement.type === 'assert-create'
          ? null
          : 'the table does not exist'
        : failureOf(requirement, metadata)
    if (failure !== null) throw requirementFailed(failure)
  }
}

export function checkViewRequirements(
  requirements: readonly ViewRequirement[],
  metadata: ViewMetadata,
): void {
  for (const { uuid } of requirements) {
    if (!isSameUuid(uuid, metadata.viewUuid)) {
      throw requirementFailed(`view UUID does not match: expected ${metadata.viewUuid} != ${uuid}`)
    }
  }
}

function failureOf(requirement: TableRequirement, metadata: TableMetadata): string | null {
  switch (requirement.type) {
    case 'assert-create':
      return 'table already exists'
    case 'assert-table-uuid':
      return isSameUuid(requirement.uuid, metadata.tableUuid)
        ? null
        : `UUID does not match: expected ${metadata.tableUuid} != ${requirement.uuid}`
    case 'assert-ref-snapshot-id':
      return refFailure(requirement.ref, requirement.snapshotId, metadata)
    case 'assert-last-assigned-field-id':
      return changed(
        'last assigned field id',
        requirement.lastAssignedFieldId,
        metadata.lastColumnId,
      )
    case 'assert-current-schema-id':
      return changed('current schema', requirement.currentSchemaId, metadata.currentSchemaId)
    case 'assert-last-assigned-partition-id':
      return changed(
        'last assigned partition id',
        requirement.lastAssignedPartitionId,
        metadata.lastPartitionId,
      )
    case 'assert-default-spec-id':
      return changed('default partition spec', requirement.defaultSpecId, metadata.defaultSpecId)
    case 'assert-default-sort-order-id':
      return changed(
        'default sort order',
        requirement.defaultSortOrderId,
        metadata.defaultSortOrderId,
      )
    case 'assert-property': {
      const { key } = requirement
      const value = Object.hasOwn(metadata.properties, key) ? metadata.properties[key] : null
      if (value === requirement.value) return null
      return `property ${requirement.key} has changed: expected ${requirement.value ?? 'none'} != ${value ?? 'none'}`
    }
  }
}

function refFailure(name: string, expected: bigint | null, metadata: TableMetadata): string | null {
  const ref = refByName(metadata, name)
  if (ref === undefined) {
    return expected === null ? null : `branch or tag ${name} is missing, expected ${expected}`
  }
  if (expected === null) return `${ref.type} ${name} was created concurrently`
  if (expected === ref.snapshotId) return null
  return `${ref.type} ${name} has changed: expected id ${expected} != ${ref.snapshotId}`
}

function changed(what: string, expected: number, found: number): string | null {
  return expected === found ? null : `${what} changed: expected id ${expected} != ${found}`
}

function isSameUuid(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

function requirementFailed(failure: string): PotokError {
  return new PotokError('CommitConflict', `Requirement failed: ${failure}`)
}
