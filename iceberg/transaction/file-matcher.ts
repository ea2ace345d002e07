/**
 * What a file's partition and bounds prove about a filter: that no row of it matches, that every row does, or
 * neither. Whole files are deleted by the second, conflicts are ruled out by the first; where nothing is proven
 * the answers are the careful ones (may match, need not match).
 *
 * Every row matches where no row may fail: the sieves of scan planning answer both, once for the filter and once
 * for its failing. A row fails where the filter is false and also where it is unknown, because of a null.
 */
import { type BoundFilter, bindFilter } from '../scan/bind-filter.ts'
import { mayHoldRows, partitionSieve } from '../scan/may-hold.ts'
import type { ScanExpression, ScanFilter } from '../scan/scan-filter.ts'
import type { DataFile } from '../spec/data-file.ts'
import { currentSchema } from '../spec/schema.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'

export type FileMatcher = {
  /** False: no row of the file matches. Of a file of deletes: no row that it deletes, by its partition. */
  readonly mayMatch: (file: DataFile) => boolean
  /** True: all rows of the data file match. */
  readonly mustMatch: (file: DataFile) => boolean
}

/** An empty filter matches every row. */
export function fileMatcher(metadata: TableMetadata, filter: ScanFilter): FileMatcher {
  const schema = currentSchema(metadata)
  const matching = holder(metadata, bindFilter(schema, filter))
  // One for each part: one may be proven by the partition, another by bounds.
  const failing = filter.map((part) =>
    holder(metadata, bindFilter(schema, [failingOf(part, false)])),
  )
  return {
    mayMatch: matching,
    mustMatch: (file) => failing.every((mayFail) => !mayFail(file)),
  }
}

function holder(metadata: TableMetadata, filter: BoundFilter): (file: DataFile) => boolean {
  const sieves = new Map<number, ReturnType<typeof partitionSieve>>()
  return (file) => {
    const sieve = sieves.get(file.specId) ?? partitionSieve(metadata, file.specId, filter)
    sieves.set(file.specId, sieve)
    if (!sieve.mayHoldPartition(file.partition)) return false
    // The columns of a file of deletes are those of the deletes.
    return file.content !== 'data' || mayHoldRows(file, filter)
  }
}

/** What is true of the rows for which the expression (or its opposite) isn't. */
export function failingOf(expression: ScanExpression, isNegated: boolean): ScanExpression {
  if ('column' in expression) {
    const isFalse: ScanExpression = isNegated ? expression : { op: 'not', of: expression }
    if (expression.op === 'is null' || expression.op === 'is not null') return isFalse
    return { op: 'or', of: [isFalse, { column: expression.column, op: 'is null' }] }
  }
  if (expression.op === 'not') return failingOf(expression.of, !isNegated)
  const isAnd = (expression.op === 'and') !== isNegated
  return { op: isAnd ? 'or' : 'and', of: expression.of.map((each) => failingOf(each, isNegated)) }
}
