/**
 * A bound filter as SQL over the columns of a file. Every value becomes a literal of the column's own type,
 * made from numbers and hexadecimal digits or quoted as a whole: no text of a caller becomes SQL.
 * What null and NaN mean is in `iceberg/scan/scan-filter.ts`; in DuckDB NaN is the greatest number, so
 * comparisons that it would pass say otherwise.
 */
import { decimalPrecisionScale } from '../../iceberg/codec/manifest-avro.ts'
import type { SingleValue } from '../../iceberg/codec/single-value.ts'
import { formatDecimal } from '../../iceberg/codec/value-text.ts'
import { type BoundFilter, isFloating, type ValueTest } from '../../iceberg/scan/bind-filter.ts'
import type { IcebergType, NestedField } from '../../iceberg/spec/table-metadata.ts'
import { sqlTypeOf } from './column-expression.ts'

export function filterSql(
  filter: BoundFilter,
  column: (path: readonly NestedField[]) => string,
): string {
  switch (filter.op) {
    case 'and':
    case 'or': {
      if (filter.of.length === 0) return filter.op === 'and' ? 'TRUE' : 'FALSE'
      const parts = filter.of.map((each) => filterSql(each, column))
      return `(${parts.join(filter.op === 'and' ? ' AND ' : ' OR ')})`
    }
    case 'test':
      return testSql(filter.field.type, column(filter.path), filter.test)
  }
}

function testSql(type: IcebergType, column: string, test: ValueTest): string {
  const literal = (value: SingleValue) => sqlLiteral(type, value)
  switch (test.op) {
    case 'is null':
      return `${column} IS NULL`
    case 'is not null':
      return `${column} IS NOT NULL`
    case 'is nan':
      return `isnan(${column})`
    case 'is not nan':
      return `NOT isnan(${column})`
    case 'in':
      return test.values.length === 0
        ? 'FALSE'
        : `${column} IN (${test.values.map(literal).join(', ')})`
    case 'not in':
      return test.values.length === 0
        ? `${column} IS NOT NULL`
        : `${column} NOT IN (${test.values.map(literal).join(', ')})`
    case 'starts with':
      return `starts_with(${column}, ${literal(test.value)})`
    case 'not starts with':
      return `NOT starts_with(${column}, ${literal(test.value)})`
    case '=':
    case '!=':
    case '<':
    case '<=':
      return `${column} ${test.op} ${literal(test.value)}`
    case '>':
    case '>=': {
      const compared = `${column} ${test.op} ${literal(test.value)}`
      return isFloating(type) ? `(${compared} AND NOT isnan(${column}))` : compared
    }
  }
}

/** A value as a literal of the type that `sqlTypeOf` names. */
export function sqlLiteral(type: IcebergType, value: SingleValue): string {
  const sqlType = sqlTypeOf(type)
  switch (type) {
    case 'boolean':
      return value === true ? 'TRUE' : 'FALSE'
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return `CAST('${Object.is(value, -0) ? '-0.0' : String(value)}' AS ${sqlType})`
    case 'date':
      return `make_date(${Number(value)})`
    case 'time':
      return `(TIME '00:00:00' + to_microseconds(CAST('${BigInt(Number(value))}' AS BIGINT)))`
    case 'timestamp':
      return `make_timestamp(CAST('${String(value)}' AS BIGINT))`
    case 'timestamptz':
      return `make_timestamptz(CAST('${String(value)}' AS BIGINT))`
    case 'string':
      // NUL would end the statement.
      return `decode(unhex('${hexOf(Buffer.from(String(value)))}'))`
    case 'uuid':
      return `CAST('${hexOf(value as Uint8Array)}' AS UUID)`
    case 'binary':
      return `unhex('${hexOf(value as Uint8Array)}')`
  }
  const decimal = typeof type === 'string' ? decimalPrecisionScale(type) : null
  if (decimal !== null) {
    return `CAST('${formatDecimal(BigInt(value as number | bigint), decimal.scale)}' AS ${sqlType})`
  }
  return `unhex('${hexOf(value as Uint8Array)}')`
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
