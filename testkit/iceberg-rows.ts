/** Random Iceberg schemas and rows for property tests, and rows as DuckDB gives them back. */
import {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  DuckDBUUIDValue,
  type DuckDBValue,
} from '@duckdb/node-api'
import * as fc from 'fast-check'
import type { SingleValue } from '../iceberg/codec/single-value.ts'
import type { Row, RowValue } from '../iceberg/spec/rows.ts'
import type {
  IcebergType,
  NestedField,
  Schema,
  StructType,
} from '../iceberg/spec/table-metadata.ts'

const micros = fc.oneof(
  fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n }).map(numberIfSafe),
  fc.constantFrom(0, -1, 1_743_848_130_123_457),
)

function numberIfSafe(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

const floats = [0, -0, Number.NaN, Infinity, -Infinity, 1.5, -2.25]

/**
 * Values of each primitive type that Parquet files of DuckDB hold, edges among them. No text begins with a byte
 * order mark: DuckDB's package drops it in reading (`read-batch.ts`), which would be seen as a fault of writing.
 */
export const primitiveValues: Readonly<Record<string, fc.Arbitrary<RowValue>>> = {
  boolean: fc.boolean(),
  int: fc.oneof(fc.integer(), fc.constantFrom(0, 2 ** 31 - 1, -(2 ** 31))),
  long: fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.constantFrom(0n, 2n ** 63n - 1n, -(2n ** 63n)),
  ),
  float: fc.oneof(fc.float(), fc.constantFrom(...floats)),
  double: fc.oneof(fc.double(), fc.constantFrom(...floats)),
  date: fc.oneof(fc.integer({ min: -719_162, max: 2_932_896 }), fc.constantFrom(0, -1)),
  time: fc.integer({ min: 0, max: 86_399_999_999 }),
  timestamp: micros,
  timestamptz: micros,
  string: fc.oneof(
    fc
      .string({ unit: 'binary', maxLength: 40 })
      .filter((text) => text.isWellFormed() && !text.startsWith('\uFEFF')),
    fc.constantFrom('', 'камера-с-длинным-именем', '\u{10ffff}'.repeat(20), 'a\0b', 'a\uFEFF'),
  ),
  uuid: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  binary: fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constant(new Uint8Array(20).fill(255))),
  'decimal(9,2)': fc.bigInt({ min: -999_999_999n, max: 999_999_999n }),
  'decimal(18,4)': fc.bigInt({ min: -(10n ** 18n) + 1n, max: 10n ** 18n - 1n }),
  'decimal(38,10)': fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n }),
}

type Shape = { readonly required: boolean; readonly type: ShapeType }
type ShapeType =
  | string
  | { readonly struct: readonly Shape[] }
  | { readonly list: Shape }
  | { readonly key: string; readonly value: Shape }

const primitives = fc.constantFrom(...Object.keys(primitiveValues))
const { shape } = fc.letrec<{ shape: Shape; type: ShapeType }>((tie) => ({
  shape: fc.record({ required: fc.boolean(), type: tie('type') }),
  type: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    primitives,
    fc.record({ struct: fc.array(tie('shape'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ list: tie('shape') }),
    fc.record({ key: fc.constantFrom('string', 'int', 'long', 'date'), value: tie('shape') }),
  ),
}))

/** A schema of nested columns; the first, `rid`, is the row's number. Ids don't follow the order of fields. */
export const nestedSchemas: fc.Arbitrary<Schema> = fc
  .array(shape, { minLength: 1, maxLength: 6 })
  .map((shapes) => {
    let nextId = 1_000
    const take = () => nextId--
    const rid: NestedField = { id: take(), name: 'rid', required: true, type: 'int' }
    return { ...structOf(shapes, take, [rid]), schemaId: 0 }
  })

const names = ['a', 'A', 'say "what"', 'ключ', 'b.c', 'select']

function structOf(
  shapes: readonly Shape[],
  take: () => number,
  first: readonly NestedField[] = [],
): StructType {
  const fields = shapes.map(({ required, type }, i) => ({
    id: take(),
    name: names[i] as string,
    required,
    type: typeOf(type, take),
  }))
  return { type: 'struct', fields: [...first, ...fields] }
}

function typeOf(type: ShapeType, take: () => number): IcebergType {
  if (typeof type === 'string') return type
  if ('struct' in type) return structOf(type.struct, take)
  if ('list' in type) {
    return {
      type: 'list',
      elementId: take(),
      elementRequired: type.list.required,
      element: typeOf(type.list.type, take),
    }
  }
  return {
    type: 'map',
    keyId: take(),
    key: type.key,
    valueId: take(),
    valueRequired: type.value.required,
    value: typeOf(type.value.type, take),
  }
}

/** Rows of the schema, numbered by `rid` from 0 on where it has such a column. */
export function rowsOf(schema: StructType, maxLength: number): fc.Arbitrary<Row[]> {
  return fc
    .array(structValues(schema), { maxLength })
    .map((rows) => rows.map((row, rid) => ({ ...row, ...('rid' in row ? { rid } : {}) })))
}

function structValues(struct: StructType): fc.Arbitrary<Row> {
  return fc.record(
    Object.fromEntries(struct.fields.map((field) => [field.name, fieldValues(field)])),
  )
}

function fieldValues({
  type,
  required,
}: Pick<NestedField, 'type' | 'required'>): fc.Arbitrary<RowValue> {
  const values = valuesOf(type)
  return required ? values : fc.option(values, { freq: 3 })
}

function valuesOf(type: IcebergType): fc.Arbitrary<RowValue> {
  if (typeof type === 'string') {
    const values = primitiveValues[type]
    if (values === undefined) throw new RangeError(`no values of the type ${type}`)
    return values
  }
  switch (type.type) {
    case 'struct':
      return structValues(type)
    case 'list':
      return fc.array(fieldValues({ type: type.element, required: type.elementRequired }), {
        maxLength: 4,
      })
    case 'map': {
      const entries = fc.tuple(
        valuesOf(type.key),
        fieldValues({ type: type.value, required: type.valueRequired }),
      )
      return fc
        .uniqueArray(entries, { maxLength: 4, selector: ([key]) => String(key as SingleValue) })
        .map((list) => new Map(list))
    }
  }
}

/** A value as DuckDB's package gives it, in the form of `Row`. `names`: what DuckDB calls struct fields. */
export function rowValueOf(type: IcebergType, value: DuckDBValue): RowValue {
  if (value === null) return null
  if (typeof type !== 'string') return nestedValueOf(type, value)
  if (value instanceof DuckDBDateValue) return value.days
  if (value instanceof DuckDBTimeValue) return Number(value.micros)
  if (value instanceof DuckDBTimestampValue || value instanceof DuckDBTimestampTZValue) {
    return numberIfSafe(value.micros)
  }
  if (value instanceof DuckDBDecimalValue) return value.value
  if (value instanceof DuckDBBlobValue) return Uint8Array.from(value.bytes)
  if (value instanceof DuckDBUUIDValue) {
    return Uint8Array.from(Buffer.from(value.toUint128().toString(16).padStart(32, '0'), 'hex'))
  }
  return value as RowValue
}

function nestedValueOf(type: Exclude<IcebergType, string>, value: DuckDBValue): RowValue {
  if (type.type === 'list' && value instanceof DuckDBListValue) {
    return value.items.map((item) => rowValueOf(type.element, item))
  }
  if (type.type === 'map' && value instanceof DuckDBMapValue) {
    return new Map(
      value.entries.map((entry) => [
        rowValueOf(type.key, entry.key),
        rowValueOf(type.value, entry.value),
      ]),
    )
  }
  if (type.type === 'struct' && value instanceof DuckDBStructValue) {
    // By position: DuckDB may have had to give a field another name.
    const values = Object.values(value.entries)
    return Object.fromEntries(
      type.fields.map((field, i) => [field.name, rowValueOf(field.type, values[i] ?? null)]),
    )
  }
  throw new TypeError(`not a ${type.type}`)
}
