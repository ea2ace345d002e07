/**
 * Filters on every column of a table, at and around the values that it holds, with the rows that each must give:
 * what an engine leaves out beyond that was pruned by wrong bounds. Also each filter in the words of an engine.
 */
import type { IcebergType, StructType } from '../../iceberg/spec/table-metadata.ts'
import {
  type CanonicalRow,
  type CanonicalValue,
  decimalText,
  doubleBits,
  floatBits,
} from './canonical-rows.ts'

export type FilterOperator = '=' | '!=' | '<' | '<=' | '>' | '>=' | 'is-null' | 'not-null'

export type FilterCase = {
  /** A column, or a field within structs by its path. */
  readonly path: readonly string[]
  readonly type: string
  readonly op: FilterOperator
  /** In canonical form; null for the null tests. */
  readonly value: string | boolean | null
}

/**
 * Up to ten for each column: enough to catch a lower bound that is too high, an upper one that is too low, and
 * wrong counts of nulls. Fields of structs are tried too; lists and maps are not.
 */
export function filterCases(struct: StructType, rows: readonly CanonicalRow[]): FilterCase[] {
  return leavesOf(struct).flatMap(({ path, type }) => {
    const values = rows.map((row) => valueAt(struct, row, path))
    const nullTests = (['is-null', 'not-null'] as const).map((op) => ({
      path,
      type,
      op,
      value: null,
    }))
    return [...nullTests, ...comparisons(path, type, values)]
  })
}

/** Null and NaN match no comparison; `nanIsGreatest` is how DuckDB has it (as PostgreSQL). */
export function isMatch(filter: FilterCase, value: CanonicalValue, nanIsGreatest = false): boolean {
  if (filter.op === 'is-null') return value === null
  if (filter.op === 'not-null') return value !== null
  if (value === null) return false
  if (value === 'NaN' && isFloating(filter.type)) {
    return (nanIsGreatest && ['>', '>='].includes(filter.op)) || filter.op === '!='
  }
  const order = compare(filter.type, value as string, filter.value as string)
  switch (filter.op) {
    case '=':
      return order === 0
    case '!=':
      return order !== 0
    case '<':
      return order < 0
    case '<=':
      return order <= 0
    case '>':
      return order > 0
    case '>=':
      return order >= 0
  }
}

export function valueAt(
  struct: StructType,
  row: CanonicalRow,
  path: readonly string[],
): CanonicalValue {
  const index = struct.fields.findIndex((field) => field.name === path[0])
  let value = row[index] as CanonicalValue
  for (const name of path.slice(1)) {
    if (value === null) return null
    value = (value as { [name: string]: CanonicalValue })[name] as CanonicalValue
  }
  return value
}

export function describeFilter({ path, op, type, value }: FilterCase): string {
  return `${path.join('.')} ${op}${value === null ? '' : ` ${String(value)}`} (${type})`
}

function leavesOf(
  struct: StructType,
  above: readonly string[] = [],
): { path: readonly string[]; type: string }[] {
  return struct.fields.flatMap((field) => {
    const path = [...above, field.name]
    if (typeof field.type === 'string') return [{ path, type: field.type }]
    return field.type.type === 'struct' ? leavesOf(field.type, path) : []
  })
}

function comparisons(
  path: readonly string[],
  type: string,
  values: readonly CanonicalValue[],
): FilterCase[] {
  const present = [...new Set(values)]
    .filter((value) => value !== null && value !== 'NaN')
    .toSorted((a, b) => compare(type, a as string, b as string)) as (string | boolean)[]
  if (present.length === 0) return []
  if (type === 'boolean') {
    return [true, false].map((value) => ({ path, type, op: '=', value }))
  }
  const least = present[0] as string
  const middle = present[present.length >> 1] as string
  const greatest = present.at(-1) as string
  const cases: [FilterOperator, string | undefined][] = [
    ['=', least],
    ['<=', least],
    ['<', above(type, least)],
    ['=', middle],
    ['>=', middle],
    ['=', greatest],
    ['>=', greatest],
    ['>', below(type, greatest)],
  ]
  return cases.flatMap(([op, value]) => (value === undefined ? [] : [{ path, type, op, value }]))
}

/** A value just below, where the type (as engines can write it) has one at hand. */
function below(type: string, value: string): string | undefined {
  if (type === 'string') return Array.from(value).slice(0, -1).join('')
  if (type === 'binary') return value.slice(0, -2)
  return neighbour(type, value, -1n)
}

function above(type: string, value: string): string | undefined {
  if (type === 'string') return `${value}a`
  if (type === 'binary') return `${value}00`
  return neighbour(type, value, 1n)
}

function neighbour(type: string, value: string, step: 1n | -1n): string | undefined {
  const [low, high] = limitsOf(type)
  if (low !== undefined && high !== undefined) {
    const next = BigInt(value) + step
    return next >= low && next <= high ? String(next) : undefined
  }
  if (type.startsWith('decimal')) {
    const { precision, scale } = decimalOf(type)
    const next = BigInt(value.replace('.', '')) + step
    const isHeld = next < 10n ** BigInt(precision) && next > -(10n ** BigInt(precision))
    return isHeld ? decimalText(next, scale) : undefined
  }
  if (isFloating(type)) {
    const number = numberOf(type, value)
    const next = number + Number(step) * (Math.abs(number) / 1024 + 1)
    const rounded = type === 'float' ? Math.fround(next) : next
    if (!Number.isFinite(rounded)) return undefined
    return type === 'float' ? floatBits(rounded) : doubleBits(rounded)
  }
  return undefined
}

const dayMin = -719_162n // 0001-01-01
const dayMax = 2_932_896n // 9999-12-31
const dayMicros = 86_400_000_000n

function limitsOf(type: string): [bigint?, bigint?] {
  switch (type) {
    case 'int':
      return [-(2n ** 31n), 2n ** 31n - 1n]
    case 'long':
      return [-(2n ** 63n), 2n ** 63n - 1n]
    case 'date':
      return [dayMin, dayMax]
    case 'time':
      return [0n, dayMicros - 1n]
    case 'timestamp':
    case 'timestamptz':
      return [dayMin * dayMicros, (dayMax + 1n) * dayMicros - 1n]
    default:
      return []
  }
}

function compare(type: string, a: string | boolean, b: string | boolean): number {
  if (typeof a === 'boolean' || typeof b === 'boolean') return Number(a) - Number(b)
  if (isFloating(type)) {
    const [x, y] = [numberOf(type, a), numberOf(type, b)]
    return x < y ? -1 : x > y ? 1 : 0
  }
  if (type === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b))
  if (type === 'uuid' || type === 'binary' || type.startsWith('fixed')) {
    return Buffer.compare(Buffer.from(a, 'hex'), Buffer.from(b, 'hex'))
  }
  // Decimals of one column have one scale.
  const [x, y] = [BigInt(a.replace('.', '')), BigInt(b.replace('.', ''))]
  return x < y ? -1 : x > y ? 1 : 0
}

export function isFloating(type: string): boolean {
  return type === 'float' || type === 'double'
}

function numberOf(type: string, bits: string): number {
  const bytes = Buffer.from(bits, 'hex')
  return type === 'float' ? bytes.readFloatBE() : bytes.readDoubleBE()
}

function decimalOf(type: string): { precision: number; scale: number } {
  const [precision = 0, scale = 0] = (type.match(/\d+/g) ?? []).map(Number)
  return { precision, scale }
}

const sqlOperators = { '=': '=', '!=': '<>', '<': '<', '<=': '<=', '>': '>', '>=': '>=' } as const

export function filterSql(dialect: 'trino' | 'duckdb', filter: FilterCase): string {
  const column = filter.path.map((name) => `"${name.replaceAll('"', '""')}"`).join('.')
  if (filter.op === 'is-null') return `${column} IS NULL`
  if (filter.op === 'not-null') return `${column} IS NOT NULL`
  const literal =
    dialect === 'trino'
      ? trinoLiteral(filter.type, filter.value as string)
      : duckDbLiteral(filter.type, filter.value as string)
  return `${column} ${sqlOperators[filter.op]} ${literal}`
}

function trinoLiteral(type: string, value: string): string {
  const text = plainText(type, value)
  if (type === 'boolean') return text
  if (type === 'string') return quoted(text)
  if (type === 'binary' || type.startsWith('fixed')) return `X'${text}'`
  if (type === 'timestamptz') return `TIMESTAMP '${text} UTC'`
  if (type.startsWith('decimal')) return `CAST('${text}' AS ${type})`
  const names: Record<string, string> = { int: 'INTEGER', long: 'BIGINT', float: 'REAL' }
  return `${names[type] ?? type.toUpperCase()} '${text}'`
}

function duckDbLiteral(type: string, value: string): string {
  const text = plainText(type, value)
  if (type === 'boolean') return text
  // A statement may not hold the character 0.
  if (type === 'string') return text.split('\0').map(quoted).join(' || chr(0) || ')
  if (type === 'binary' || type.startsWith('fixed')) return `from_hex('${text}')`
  if (type === 'timestamptz') return `'${text}+00'::TIMESTAMPTZ`
  const names: Record<string, string> = { int: 'INTEGER', long: 'BIGINT' }
  return `'${text}'::${names[type] ?? type.toUpperCase()}`
}

/** As SQL writes it between quotes. */
function plainText(type: string, value: string): string {
  if (isFloating(type)) return String(numberOf(type, value))
  if (type === 'date') return dateText(BigInt(value))
  if (type === 'time') return timeText(BigInt(value))
  if (type === 'timestamp' || type === 'timestamptz') {
    const micros = BigInt(value)
    const rest = ((micros % dayMicros) + dayMicros) % dayMicros
    return `${dateText((micros - rest) / dayMicros)} ${timeText(rest)}`
  }
  if (type === 'uuid') return value.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  return value
}

function dateText(days: bigint): string {
  return new Date(Number(days) * 86_400_000).toISOString().slice(0, 10)
}

function timeText(micros: bigint): string {
  const seconds = new Date(Number(micros / 1_000_000n) * 1_000).toISOString().slice(11, 19)
  return `${seconds}.${String(micros % 1_000_000n).padStart(6, '0')}`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** Types of columns by name, for the rows of a projection. */
export function typesOf(struct: StructType, columns: readonly string[]): IcebergType[] {
  return columns.map((name) => {
    const field = struct.fields.find((candidate) => candidate.name === name)
    if (field === undefined) throw new Error(`no column ${name}`)
    return field.type
  })
}
