/**
 * Writes files of position deletes (Iceberg spec, "Position Delete Files"): which rows of which data files are
 * gone, one file for each partition that has any, sorted by path and position. Bounds of the path are whole, so
 * that a scan opens a delete file only where it may name the data file. Format v2; what it gives goes into a row
 * delta (`iceberg/transaction/row-delta.ts`).
 */
import {
  deleteFilePathId,
  deletePositionId,
  partitionKey,
} from '../../iceberg/scan/assign-deletes.ts'
import type { DataFile } from '../../iceberg/spec/data-file.ts'
import type { MetricsMode } from '../../iceberg/spec/metrics-modes.ts'
import type { Row } from '../../iceberg/spec/rows.ts'
import { partitionSpecById } from '../../iceberg/spec/schema.ts'
import type { StructType, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { PotokError } from '../../kernel/errors.ts'
import { type FileOfRows, type RowWriterIo, writeFiles } from './iceberg-row-writer.ts'

export type PositionsOfFile = {
  readonly file: DataFile
  /** Rows of the file from 0 on, in any order. A position given twice counts once. */
  readonly positions: Iterable<number>
}

const schema: StructType = {
  type: 'struct',
  fields: [
    { id: deleteFilePathId, name: 'file_path', required: true, type: 'string' },
    { id: deletePositionId, name: 'pos', required: true, type: 'long' },
  ],
}
const modes: ReadonlyMap<number, MetricsMode> = new Map([
  [deleteFilePathId, { kind: 'full' }],
  [deletePositionId, { kind: 'full' }],
])

export async function writePositionDeletes(
  io: RowWriterIo,
  metadata: TableMetadata,
  deletes: readonly PositionsOfFile[],
): Promise<DataFile[]> {
  const partitions = Map.groupBy(deletes, ({ file }) => partitionKey(file.specId, file.partition))
  const files: FileOfRows[] = []
  for (const group of partitions.values()) {
    const [first] = group
    const rows = rowsOf(group)
    if (first === undefined || rows.length === 0) continue
    files.push({
      content: 'position-deletes',
      spec: partitionSpecById(metadata, first.file.specId),
      partition: first.file.partition,
      schema,
      rows,
      modes,
    })
  }
  return writeFiles(io, metadata, files)
}

function rowsOf(group: readonly PositionsOfFile[]): Row[] {
  const byPath = new Map<string, Set<number>>()
  for (const { file, positions } of group) {
    const known = byPath.get(file.filePath) ?? new Set<number>()
    byPath.set(file.filePath, known)
    for (const position of positions) {
      if (!Number.isSafeInteger(position) || position < 0 || position >= file.recordCount) {
        throw new PotokError('InvalidInput', `${file.filePath} has no row ${position}`)
      }
      known.add(position)
    }
  }
  // By the bytes of the path, as readers merge them.
  const paths = [...byPath].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  return paths.flatMap(([path, positions]) =>
    [...positions].sort((a, b) => a - b).map((pos) => ({ file_path: path, pos: BigInt(pos) })),
  )
}
