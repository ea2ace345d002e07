/** Compares what engines answered to filters with what is right. */
import { currentSchema, fieldByName } from '../../iceberg/spec/schema.ts'
import type { TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { type CanonicalRow, sortedRows } from './canonical-rows.ts'
import { describeFilter, type FilterCase, isMatch, valueAt } from './filter-cases.ts'

type Engine = 'potok' | 'trino' | 'pyiceberg' | 'duckdb'

/** The rows of a filter, or why the judge could not say. */
export type FilterAnswer = readonly CanonicalRow[] | string

export type FilterAnswers = Partial<Record<Engine, readonly FilterAnswer[]>>

/** An engine's own way that is no fault of the table; `why` names it. */
type Deviation = {
  readonly engine: Engine
  readonly why: string
  readonly applies: (filter: FilterCase, metadata: TableMetadata) => boolean
}

/** Seen in the versions of `testkit/requirements.txt`; the tables are right. */
const deviations: readonly Deviation[] = [
  {
    engine: 'pyiceberg',
    why: 'an infinite literal is above the greatest float, hence equal to none',
    applies: ({ type, value }) =>
      type === 'float' && (value === '7f800000' || value === 'ff800000'),
  },
  {
    engine: 'pyiceberg',
    why: 'compares the bytes of a uuid with those of a partition as if they were of two kinds',
    applies: ({ path, type }, metadata) =>
      type === 'uuid' && isPartitionedBy(metadata, path, ['identity']),
  },
  {
    engine: 'duckdb',
    why: 'looks for uuids in other buckets than those of the specification',
    applies: ({ path, type, op }, metadata) =>
      type === 'uuid' && op === '=' && isPartitionedBy(metadata, path, ['bucket']),
  },
  {
    engine: 'duckdb',
    why: 'fails in truncating decimals below zero',
    applies: ({ path, type }, metadata) =>
      type.startsWith('decimal') && isPartitionedBy(metadata, path, ['truncate']),
  },
  {
    engine: 'duckdb',
    why: 'rounds times before 1970 towards zero where the specification has the floor',
    applies: ({ path, op, value }, metadata) =>
      op === '=' &&
      String(value).startsWith('-') &&
      isPartitionedBy(metadata, path, ['year', 'month', 'day', 'hour']),
  },
]

function isPartitionedBy(
  metadata: TableMetadata,
  path: readonly string[],
  transforms: readonly string[],
): boolean {
  const field = fieldByName(currentSchema(metadata), path.join('.'))
  return metadata.partitionSpecs.some((spec) =>
    spec.fields.some(
      ({ sourceId, transform }) =>
        sourceId === field?.id && transforms.some((each) => transform.startsWith(each)),
    ),
  )
}

type WrongAnswer = {
  readonly engine: string
  readonly filter: string
  readonly wanted: readonly string[]
  readonly got: readonly string[] | string
}

/**
 * Answers that are wrong by the table's rows; each filter's answer is the values of `keys`; rows that
 * share them (partial sums of one window) are counted. DuckDB holds NaN for the greatest number, as PostgreSQL does, where it looks at all: bounds in Iceberg
 * leave NaN out. So from it, and from nobody else, NaN may come for `>` and `>=`, and need not.
 */
export function wrongAnswers(
  metadata: TableMetadata,
  rows: readonly CanonicalRow[],
  keys: readonly string[],
  cases: readonly FilterCase[],
  answers: FilterAnswers,
): WrongAnswer[] {
  const struct = currentSchema(metadata)
  const keysOf = (some: readonly CanonicalRow[]): CanonicalRow[] =>
    some.map((row) => keys.map((key) => valueAt(struct, row, [key])))
  const right = (filter: FilterCase, nanIsGreatest: boolean): string[] =>
    textsOf(
      keysOf(
        rows.filter((row) => isMatch(filter, valueAt(struct, row, filter.path), nanIsGreatest)),
      ),
    )
  return Object.entries(answers).flatMap(([engine, given]) =>
    cases.flatMap((filter, i): WrongAnswer[] => {
      const answer = given[i] as FilterAnswer
      const isExcused = (each: Deviation): boolean =>
        each.engine === engine && each.applies(filter, metadata)
      if (deviations.some(isExcused)) return []
      const wanted = right(filter, false)
      const allowed = engine === 'duckdb' ? right(filter, true) : wanted
      const found = { engine, filter: describeFilter(filter), wanted }
      if (typeof answer === 'string') return [{ ...found, got: answer }]
      const got = textsOf(answer)
      return isWithin(wanted, got) && isWithin(got, allowed) ? [] : [{ ...found, got }]
    }),
  )
}

/** Each text of `some` stands in `all` at least as often. */
function isWithin(some: readonly string[], all: readonly string[]): boolean {
  const left = new Map<string, number>()
  for (const text of all) left.set(text, (left.get(text) ?? 0) + 1)
  return some.every((text) => {
    const count = left.get(text) ?? 0
    left.set(text, count - 1)
    return count > 0
  })
}

function textsOf(rows: readonly CanonicalRow[]): string[] {
  return sortedRows(rows).map((row) => JSON.stringify(row))
}
