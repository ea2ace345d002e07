/**
 * How much a manifest tells of each column (table properties `write.metadata.metrics.*`, rules of the Java
 * client): nothing, counts, counts and bounds cut to a length, or counts and whole bounds.
 *
 * A wide table tells of its first 100 columns unless it says otherwise, so that manifests stay small; columns
 * that the table is sorted by always have bounds unless a property names them.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { IcebergType, Schema, SortOrder, StructType } from './table-metadata.ts'
import { isMonotone, parseTransform } from './transforms.ts'

export type MetricsMode =
  | { readonly kind: 'none' | 'counts' | 'full' }
  /** Code points of a string, bytes of a binary. */
  | { readonly kind: 'truncate'; readonly length: number }

const defaultProperty = 'write.metadata.metrics.default'
const columnPrefix = 'write.metadata.metrics.column.'
const inferredMaxProperty = 'write.metadata.metrics.max-inferred-column-defaults'
const inferredMaxDefault = 100
const truncate16: MetricsMode = { kind: 'truncate', length: 16 }

/** The mode of each primitive field by id, fields inside lists and maps too. */
export function metricsModes(
  properties: Readonly<Record<string, string>>,
  schema: Schema,
  sortOrder: SortOrder,
): Map<number, MetricsMode> {
  const leaves = primitiveLeaves(schema)
  const given = properties[defaultProperty]
  const inferred = given === undefined ? inferredIds(schema, leaves.size, properties) : null
  const fallback = given === undefined ? truncate16 : parseMode(defaultProperty, given)
  const sorted = new Set(
    sortOrder.fields
      .filter(({ transform }) => isMonotone(parseTransform(transform)))
      .map(({ sourceId }) => sourceId),
  )
  const modes = new Map<number, MetricsMode>()
  for (const [id, name] of leaves) {
    const base: MetricsMode = inferred === null || inferred.has(id) ? fallback : { kind: 'none' }
    const isBare = base.kind === 'none' || base.kind === 'counts'
    const key = columnPrefix + name
    const own = properties[key]
    if (own !== undefined) modes.set(id, parseMode(key, own))
    else modes.set(id, sorted.has(id) && isBare ? truncate16 : base)
  }
  return modes
}

/** Ids that have the default although no property says so; null: all. */
function inferredIds(
  schema: Schema,
  leafCount: number,
  properties: Readonly<Record<string, string>>,
): Set<number> | null {
  const text = properties[inferredMaxProperty]
  const limit = text === undefined ? inferredMaxDefault : Number(text)
  if (!Number.isSafeInteger(limit) || limit < 0) throw badProperty(inferredMaxProperty, text ?? '')
  if (leafCount <= limit) return null
  return new Set([...leavesInOrder(schema)].slice(0, limit))
}

/** Of each struct its own primitive fields first, then what is inside the others: shallow columns matter most. */
function* leavesInOrder(type: IcebergType): Generator<number> {
  if (typeof type === 'string') return
  const children = childrenOf(type)
  for (const child of children) if (typeof child.type === 'string') yield child.id
  for (const child of children) yield* leavesInOrder(child.type)
}

/** Full name by id. */
function primitiveLeaves(schema: StructType): Map<number, string> {
  const result = new Map<number, string>()
  const visit = (type: IcebergType, prefix: string): void => {
    for (const child of childrenOf(type)) {
      const name = prefix === '' ? child.name : `${prefix}.${child.name}`
      if (typeof child.type === 'string') result.set(child.id, name)
      else visit(child.type, name)
    }
  }
  visit(schema, '')
  return result
}

type Child = { readonly id: number; readonly name: string; readonly type: IcebergType }

function childrenOf(type: IcebergType): readonly Child[] {
  if (typeof type === 'string') return []
  switch (type.type) {
    case 'struct':
      return type.fields
    case 'list':
      return [{ id: type.elementId, name: 'element', type: type.element }]
    case 'map':
      return [
        { id: type.keyId, name: 'key', type: type.key },
        { id: type.valueId, name: 'value', type: type.value },
      ]
  }
}

function parseMode(property: string, text: string): MetricsMode {
  const mode = text.toLowerCase()
  if (mode === 'none' || mode === 'counts' || mode === 'full') return { kind: mode }
  const length = Number(/^truncate\((\d+)\)$/.exec(mode)?.[1])
  if (!Number.isSafeInteger(length) || length < 1) throw badProperty(property, text)
  return { kind: 'truncate', length }
}

function badProperty(property: string, text: string): PotokError {
  return new PotokError('InvalidInput', `the table property ${property} is not valid: ${text}`)
}
