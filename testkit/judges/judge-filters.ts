/** Compares what engines answered to filters with what is right. */
import type { StructType } from '../../iceberg/spec/table-metadata.ts'
import { type CanonicalRow, sortedRows } from './canonical-rows.ts'
import { describeFilter, type FilterCase, isMatch, valueAt } from './filter-cases.ts'

export type Engine = 'potok' | 'trino' | 'pyiceberg' | 'duckdb'

/** The rows of a filter, or why the judge could not say. */
export type FilterAnswer = readonly CanonicalRow[] | string

export type FilterAnswers = Partial<Record<Engine, readonly FilterAnswer[]>>

/** An engine's own way that is no fault of the table; `why` names it. */
export type Deviation = {
  readonly engine: Engine
  readonly why: string
  readonly applies: (filter: FilterCase, answer: FilterAnswer) => boolean
}

/**
 * Answers that are wrong by the table's rows; each filter's answer is the values of `keys`. DuckDB holds NaN for
 * the greatest number, as PostgreSQL does; nobody else gives it for any comparison but `!=`.
 */
export function wrongAnswers(
  struct: StructType,
  rows: readonly CanonicalRow[],
  keys: readonly string[],
  cases: readonly FilterCase[],
  answers: FilterAnswers,
  deviations: readonly Deviation[] = [],
): unknown[] {
  const right = (filter: FilterCase, nanIsGreatest: boolean): string =>
    textOf(
      rows
        .filter((row) => isMatch(filter, valueAt(struct, row, filter.path), nanIsGreatest))
        .map((row) => keys.map((key) => valueAt(struct, row, [key]))),
    )
  return Object.entries(answers).flatMap(([engine, given]) =>
    cases.flatMap((filter, i) => {
      const answer = given[i] as FilterAnswer
      const got = typeof answer === 'string' ? answer : textOf(answer)
      const wanted = right(filter, engine === 'duckdb')
      const isExcused = (each: Deviation): boolean =>
        each.engine === engine && each.applies(filter, answer)
      if (got === wanted || deviations.some(isExcused)) return []
      return [{ engine, filter: describeFilter(filter), got, wanted }]
    }),
  )
}

function textOf(rows: readonly CanonicalRow[]): string {
  return JSON.stringify(sortedRows(rows))
}
