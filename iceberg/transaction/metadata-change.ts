/** What an operation that writes no files asks of the catalog. */
import type { TableRequirement, TableUpdate } from '../spec/table-updates.ts'

export type MetadataChange = {
  readonly requirements: readonly TableRequirement[]
  readonly updates: readonly TableUpdate[]
}
