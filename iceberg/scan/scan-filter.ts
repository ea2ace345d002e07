/**
 * What a scan asks for, as its caller writes it: columns by name (a field of a struct as `struct.field`),
 * values as in `codec/single-value.ts` (timestamps in µs, dates in days, uuids as 16 bytes).
 *
 * It means what SQL means by it: null makes everything but `is null` and `is not null` unknown, and only what
 * is true passes. NaN is a value that is neither less than, equal to nor greater than any other: no comparison
 * and no `in` matches it, `!=` and `not in` do.
 */
import type { SingleValue } from '../codec/single-value.ts'

export type ScanPredicate =
  | {
      readonly column: string
      readonly op: '=' | '!=' | '<' | '<=' | '>' | '>='
      readonly value: SingleValue
    }
  | {
      readonly column: string
      readonly op: 'in' | 'not in'
      readonly values: readonly SingleValue[]
    }
  | {
      readonly column: string
      readonly op: 'is null' | 'is not null' | 'is nan' | 'is not nan'
    }
  | {
      readonly column: string
      readonly op: 'starts with' | 'not starts with'
      readonly value: string
    }

export type ScanExpression =
  | ScanPredicate
  | { readonly op: 'and' | 'or'; readonly of: readonly ScanExpression[] }
  | { readonly op: 'not'; readonly of: ScanExpression }

/** All of them hold for the rows asked for. */
export type ScanFilter = readonly ScanExpression[]

/** Rows whose timestamp lies on the UTC days [fromDay, toDay). */
export function daysFilter(column: string, fromDay: number, toDay: number): ScanFilter {
  return [
    { column, op: '>=', value: fromDay * 86_400_000_000 },
    { column, op: '<', value: toDay * 86_400_000_000 },
  ]
}
