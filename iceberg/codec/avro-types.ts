/**
 * avsc types for Iceberg's Avro schemas.
 *
 * Iceberg resolves fields by `field-id`, not by name, and writers differ in names and order. So a file is
 * decoded by its own writer's schema, in which the fields that the spec numbers get the spec's names.
 * Snapshot ids fill 64 bits and become bigint, likewise 64-bit partition values; all other longs are counts,
 * sizes and sequence numbers, for which avsc refuses anything beyond 2^53 instead of rounding it.
 */
import avro, { type Type } from 'avsc'

/** Field ids of the spec ("Manifests", "Manifest Lists") and the names that our records use. */
const canonicalNames: ReadonlyMap<number, string> = new Map([
  // manifest entry
  [0, 'status'],
  [1, 'snapshot_id'],
  [2, 'data_file'],
  [3, 'sequence_number'],
  [4, 'file_sequence_number'],
  // data file
  [134, 'content'],
  [100, 'file_path'],
  [101, 'file_format'],
  [102, 'partition'],
  [103, 'record_count'],
  [104, 'file_size_in_bytes'],
  [105, 'block_size_in_bytes'],
  [108, 'column_sizes'],
  [109, 'value_counts'],
  [110, 'null_value_counts'],
  [137, 'nan_value_counts'],
  [125, 'lower_bounds'],
  [128, 'upper_bounds'],
  [131, 'key_metadata'],
  [132, 'split_offsets'],
  [135, 'equality_ids'],
  [140, 'sort_order_id'],
  [143, 'referenced_data_file'],
  // manifest list
  [500, 'manifest_path'],
  [501, 'manifest_length'],
  [502, 'partition_spec_id'],
  [517, 'content'],
  [515, 'sequence_number'],
  [516, 'min_sequence_number'],
  [503, 'added_snapshot_id'],
  [504, 'added_files_count'],
  [505, 'existing_files_count'],
  [506, 'deleted_files_count'],
  [512, 'added_rows_count'],
  [513, 'existing_rows_count'],
  [514, 'deleted_rows_count'],
  [507, 'partitions'],
  [519, 'key_metadata'],
  // field summary
  [509, 'contains_null'],
  [518, 'contains_nan'],
  [510, 'lower_bound'],
  [511, 'upper_bound'],
])
const snapshotIdFields = new Set([1, 503])
const partitionField = 102

/** Avro names know letters, digits and `_`; the rest is written as the Java client writes it. */
export function avroName(name: string): string {
  return Array.from(name, (char, i) => {
    if (/^[A-Za-z_]$/.test(char)) return char
    if (/^[0-9]$/.test(char)) return i === 0 ? `_${char}` : char
    return `_x${(char.codePointAt(0) as number).toString(16).toUpperCase()}`
  }).join('')
}

/** A 64-bit integer as bigint. */
// oxlint-disable-next-line no-underscore-dangle -- avsc's documented name
export const bigLongType: Type = avro.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeBigInt64LE(value)
    return bytes
  },
  fromJSON: BigInt,
  toJSON: (value: bigint) => value.toString(),
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
})

const cachedTypesMax = 128
const cachedTypes = new Map<string, Type>()

/** The type of a schema text, by which files with it are read and written. Compiling costs milliseconds. */
export function readerTypeOf(schemaText: string): Type {
  const cached = cachedTypes.get(schemaText)
  if (cached !== undefined) {
    // Least recently used goes first: a Map keeps the order of insertion.
    cachedTypes.delete(schemaText)
    cachedTypes.set(schemaText, cached)
    return cached
  }
  const type = avro.Type.forSchema(prepared(JSON.parse(schemaText), false) as never, {
    wrapUnions: false,
  })
  if (cachedTypes.size >= cachedTypesMax) {
    const oldest = cachedTypes.keys().next().value
    if (oldest !== undefined) cachedTypes.delete(oldest)
  }
  cachedTypes.set(schemaText, type)
  return type
}

/** The schema with canonical names, and bigint wherever a long may fill 64 bits. */
function prepared(schema: unknown, longsAreBig: boolean): unknown {
  if (schema === 'long') return longsAreBig ? bigLongType : schema
  if (Array.isArray(schema)) return schema.map((branch) => prepared(branch, longsAreBig))
  if (typeof schema !== 'object' || schema === null) return schema
  const node = schema as Record<string, unknown>
  switch (node['type']) {
    case 'record':
      return {
        type: 'record',
        name: node['name'],
        ...(node['namespace'] === undefined ? {} : { namespace: node['namespace'] }),
        fields: (node['fields'] as Record<string, unknown>[]).map((field) => {
          const id = field['field-id'] as number | undefined
          const isTop = id !== undefined && !longsAreBig
          return {
            // Some writers let the names of partition fields through that Avro forbids: avsc would refuse them.
            name: (isTop ? canonicalNames.get(id) : undefined) ?? avroName(String(field['name'])),
            type: prepared(
              field['type'],
              longsAreBig || (isTop && (id === partitionField || snapshotIdFields.has(id))),
            ),
          }
        }),
      }
    case 'array':
      return { type: 'array', items: prepared(node['items'], longsAreBig) }
    case 'map':
      return { type: 'map', values: prepared(node['values'], longsAreBig) }
    case 'fixed':
      return { type: 'fixed', name: node['name'], size: node['size'] }
    default:
      // A primitive in its long form: logical types change nothing in the bytes.
      return prepared(node['type'], longsAreBig)
  }
}
