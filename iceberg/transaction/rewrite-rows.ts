/**
 * Deletes or replaces rows by a filter, whatever files they are in (copy on write): files of which every row
 * matches go as they are, those of which some may match are read, deletes applied, and the rows that stay are
 * written anew. What is added takes the place of the rows that go.
 *
 * The rows are read at the branch's head and the commit asserts that head, so nothing that others do can slip in
 * between: on a conflict it is planned anew, from the reading on (`commit-with-retry.ts`). Data files that it wrote
 * belong to the attempt and go with it; those in `add` are the caller's.
 * Memory is bounded: rows that stay are written in portions.
 */
import type { LoadedTable } from '../catalog.ts'
import type { ScanExpression, ScanFilter } from '../scan/scan-filter.ts'
import type { DataFile } from '../spec/data-file.ts'
import type { Row } from '../spec/rows.ts'
import { mainBranch } from '../spec/schema.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'
import { type ReadRequest, rowsOfBatch, type TableReader } from '../table-reader.ts'
import { failingOf, fileMatcher } from './file-matcher.ts'
import { liveFiles } from './live-entries.ts'
import { branchHeadId } from './snapshot-history.ts'
import { type StagedCommit, stageSnapshot, type TransactionIo } from './stage-snapshot.ts'

export type RowRewriteIo = TransactionIo & {
  readonly reader: TableReader
  /** `adapters/duckdb/iceberg-row-writer.ts`. */
  readonly writeRows: (metadata: TableMetadata, rows: readonly Row[]) => Promise<DataFile[]>
}

export type RowRewriteRequest = {
  readonly filter: ScanFilter
  readonly branch?: string
  readonly add?: readonly DataFile[]
  readonly summary?: Readonly<Record<string, string>>
}

/** Rows that stay, written at a time. */
const portionRows = 100_000

/** null: no row matches and nothing is added. */
export async function stageRowRewrite(
  io: RowRewriteIo,
  table: LoadedTable,
  request: RowRewriteRequest,
): Promise<StagedCommit | null> {
  const { filter, branch = mainBranch, add = [], summary = {} } = request
  const { metadata } = table
  const { whole, partial } = await filesOf(io, metadata, branch, filter)
  const at: ReadRequest = metadata.refs[branch] === undefined ? {} : { snapshot: { ref: branch } }
  const hit = await filesHit(io, metadata, { ...at, filter }, partial)
  const gone = new Set([...whole, ...hit])
  if (gone.size === 0 && add.length === 0) return null

  const rewritten: DataFile[] = []
  try {
    if (hit.size > 0) {
      const stays: ScanExpression = { op: 'or', of: filter.map((each) => failingOf(each, false)) }
      await rewrite(io, metadata, { ...at, filter: [stays], files: hit }, rewritten)
    }
    const isAdding = add.length + rewritten.length > 0
    const staged = await stageSnapshot(io, table, {
      operation: gone.size === 0 ? 'append' : isAdding ? 'overwrite' : 'delete',
      branch,
      add: [...add, ...rewritten],
      remove: gone,
      summary,
    })
    return { ...staged, written: [...staged.written, ...pathsOf(rewritten)] }
  } catch (error) {
    await io.store.delete(pathsOf(rewritten)).catch(() => {
      // The failure told of is the first one; what stays is for orphan removal.
    })
    throw error
  }
}

async function filesOf(
  io: RowRewriteIo,
  metadata: TableMetadata,
  branch: string,
  filter: ScanFilter,
): Promise<{ whole: Set<string>; partial: Set<string> }> {
  const matcher = fileMatcher(metadata, filter)
  const whole = new Set<string>()
  const partial = new Set<string>()
  const headId = branchHeadId(metadata, branch)
  for await (const { dataFile } of liveFiles(io.manifests, metadata, headId, 'data')) {
    if (!matcher.mayMatch(dataFile)) continue
    ;(matcher.mustMatch(dataFile) ? whole : partial).add(dataFile.filePath)
  }
  return { whole, partial }
}

/** Above this many files that may hold such rows, all are taken to: looking costs a plan of the table each. */
const lookedAtMax = 64

/** Those that do hold a row of the filter; a file that holds none need not be written again. */
async function filesHit(
  io: RowRewriteIo,
  metadata: TableMetadata,
  request: ReadRequest,
  paths: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  if (paths.size > lookedAtMax) return paths
  const hit = new Set<string>()
  for (const path of paths) {
    const files = new Set([path])
    const scan = await io.reader.open(metadata, { ...request, columns: [], files })
    for await (const { rowCount } of scan.batches()) {
      if (rowCount === 0) continue
      hit.add(path)
      break
    }
  }
  return hit
}

/** Names what it has written as it goes, so that a failure leaves nothing unknown. */
async function rewrite(
  io: RowRewriteIo,
  metadata: TableMetadata,
  request: ReadRequest,
  written: DataFile[],
): Promise<void> {
  const scan = await io.reader.open(metadata, request)
  let rows: Row[] = []
  for await (const batch of scan.batches()) {
    for (const row of rowsOfBatch(scan.schema, batch)) rows.push(row)
    if (rows.length < portionRows) continue
    written.push(...(await io.writeRows(metadata, rows)))
    rows = []
  }
  if (rows.length > 0) written.push(...(await io.writeRows(metadata, rows)))
}

function pathsOf(files: readonly DataFile[]): string[] {
  return files.map(({ filePath }) => filePath)
}
