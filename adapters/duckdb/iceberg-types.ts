/**
 * Columns of any Iceberg schema in DuckDB: types, the option FIELD_IDS, and values.
 *
 * DuckDB's names know no case, Iceberg's do, so of two columns `a` and `A` the second gets a name of its own in
 * the file. Readers of Iceberg go by field ids, so it is seen by nobody.
 */
import {
  DATE,
  BIGINT,
  BLOB,
  blobValue,
  BOOLEAN,
  DECIMAL,
  DOUBLE,
  DuckDBDateValue,
  DuckDBDecimalValue,
  type DuckDBType,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  DuckDBUUIDValue,
  type DuckDBValue,
  FLOAT,
  INTEGER,
  LIST,
  listValue,
  MAP,
  mapValue,
  STRUCT,
  structValue,
  TIME,
  TIMESTAMP,
  TIMESTAMPTZ,
  UUID,
  VARCHAR,
} from '@duckdb/node-api'
import { decimalPrecisionScale } from '../../iceberg/codec/manifest-avro.ts'
import type { Row, RowValue } from '../../iceberg/spec/rows.ts'
import type { IcebergType, NestedField, StructType } from '../../iceberg/spec/table-metadata.ts'
import { PotokError } from '../../kernel/errors.ts'
import { sqlName } from './instance.ts'

/** A column or struct field: what DuckDB calls it, and how a value of it is handed over. */
export type DuckDbColumn = {
  readonly field: NestedField
  readonly name: string
  readonly type: DuckDBType
  /** Its entry in FIELD_IDS. */
  readonly fieldIds: string
  /** Quoted paths of its leaves as RETURN_STATS names them, with their field ids. */
  readonly leaves: readonly (readonly [path: string, fieldId: number])[]
  readonly toDuckDb: (value: RowValue) => DuckDBValue
}

/** `path`: of the struct, where it isn't the row itself. */
export function duckDbColumns(struct: StructType, path?: string): DuckDbColumn[] {
  const names = new Set<string>()
  return struct.fields.map((field) => {
    let name = field.name
    for (let i = 2; names.has(name.toLowerCase()); i++) name = `${field.name}_${i}`
    names.add(name.toLowerCase())
    return columnOf(field, name, path === undefined ? sqlName(name) : `${path}.${sqlName(name)}`)
  })
}

function columnOf(field: NestedField, name: string, path: string): DuckDbColumn {
  const { type } = field
  if (typeof type === 'string') {
    const { duckDbType, convert } = primitive(type, field.name)
    return {
      field,
      name,
      type: duckDbType,
      fieldIds: `${sqlName(name)}: ${field.id}`,
      leaves: [[path, field.id]],
      toDuckDb: (value) => (value === null ? null : convert(value)),
    }
  }
  const children = childColumns(type, path)
  const ids = [`__duckdb_field_id: ${field.id}`, ...children.map(({ fieldIds }) => fieldIds)]
  return {
    field,
    name,
    ...nested(type, children),
    fieldIds: `${sqlName(name)}: {${ids.join(', ')}}`,
    leaves: children.flatMap(({ leaves }) => leaves),
  }
}

function childColumns(type: Exclude<IcebergType, string>, path: string): DuckDbColumn[] {
  const child = (id: number, name: string, of: IcebergType) =>
    columnOf({ id, name, required: false, type: of }, name, `${path}.${sqlName(name)}`)
  switch (type.type) {
    case 'struct':
      if (type.fields.length === 0) {
        throw new PotokError('Unsupported', 'Parquet has no structs without fields')
      }
      return duckDbColumns(type, path)
    case 'list':
      return [child(type.elementId, 'element', type.element)]
    case 'map':
      return [child(type.keyId, 'key', type.key), child(type.valueId, 'value', type.value)]
  }
}

function nested(
  type: Exclude<IcebergType, string>,
  children: readonly DuckDbColumn[],
): Pick<DuckDbColumn, 'type' | 'toDuckDb'> {
  const [first, second] = children as readonly [DuckDbColumn, DuckDbColumn]
  switch (type.type) {
    case 'struct':
      return {
        type: STRUCT(Object.fromEntries(children.map((each) => [each.name, each.type]))),
        toDuckDb: (value) =>
          value === null
            ? null
            : structValue(
                Object.fromEntries(
                  children.map((each) => [
                    each.name,
                    each.toDuckDb((value as Row)[each.field.name] ?? null),
                  ]),
                ),
              ),
      }
    case 'list':
      return {
        type: LIST(first.type),
        toDuckDb: (value) =>
          value === null
            ? null
            : listValue((value as readonly RowValue[]).map((each) => first.toDuckDb(each))),
      }
    case 'map':
      return {
        type: MAP(first.type, second.type),
        toDuckDb: (value) =>
          value === null
            ? null
            : mapValue(
                Array.from(value as ReadonlyMap<RowValue, RowValue>, ([key, each]) => ({
                  key: first.toDuckDb(key),
                  value: second.toDuckDb(each),
                })),
              ),
      }
  }
}

/** Year 293,000: DuckDB writes any 64 bits, but fails where it then tells of the greatest in words. */
const timestampUsMax = 9_200_000_000_000_000_000n

type Primitive = {
  readonly duckDbType: DuckDBType
  readonly convert: (value: RowValue & {}) => DuckDBValue
}

function primitive(type: string, column: string): Primitive {
  const of = (duckDbType: DuckDBType, convert: Primitive['convert']): Primitive => ({
    duckDbType,
    convert,
  })
  const asIs = (value: RowValue & {}) => value as DuckDBValue
  const big = (value: RowValue & {}) => BigInt(value as number | bigint)
  const time = (value: RowValue & {}) => {
    const micros = big(value)
    if (micros <= timestampUsMax && micros >= -timestampUsMax) return micros
    throw new PotokError('Unsupported', `DuckDB writes no times as far away as ${column} is`)
  }
  switch (type) {
    case 'boolean':
      return of(BOOLEAN, asIs)
    case 'int':
      return of(INTEGER, asIs)
    case 'long':
      return of(BIGINT, big)
    case 'float':
      return of(FLOAT, asIs)
    case 'double':
      return of(DOUBLE, asIs)
    case 'string':
      return of(VARCHAR, asIs)
    case 'date':
      return of(DATE, (value) => new DuckDBDateValue(value as number))
    case 'time':
      return of(TIME, (value) => new DuckDBTimeValue(big(value)))
    case 'timestamp':
      return of(TIMESTAMP, (value) => new DuckDBTimestampValue(time(value)))
    case 'timestamptz':
      return of(TIMESTAMPTZ, (value) => new DuckDBTimestampTZValue(time(value)))
    case 'uuid':
      return of(UUID, (value) => {
        const hex = Buffer.from(value as Uint8Array).toString('hex')
        return DuckDBUUIDValue.fromUint128(BigInt(`0x${hex}`))
      })
    case 'binary':
      return of(BLOB, (value) => blobValue(value as Uint8Array))
  }
  const decimal = decimalPrecisionScale(type)
  if (decimal !== null) {
    const { precision, scale } = decimal
    return of(
      DECIMAL(precision, scale),
      (value) => new DuckDBDecimalValue(big(value), precision, scale),
    )
  }
  throw new PotokError(
    'Unsupported',
    `DuckDB writes no Parquet column of the type ${type} (${column})`,
    { context: { column, type } },
  )
}
