/**
 * Deletes of a scan as temporary tables of one connection, so that DuckDB joins them with the rows and spills
 * them where they are large:
 *
 * - `positions(task, pos)`: rows of a data file (by the number of its task) that are deleted by position.
 * - one table per set of equality columns, `equality_<n>(part, k0, k1, …, seq)`: keys with the highest sequence
 *   number at which they were deleted in a partition. A row is deleted where its file is older than that.
 *
 * Which delete file applies to which data file is decided in `iceberg/scan/assign-deletes.ts`; here it is
 * repeated as a join by partition and sequence number, since pairs of files may be very many.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import {
  deleteFilePathId,
  deletePositionId,
  type FileTask,
  isUnpartitioned,
  partitionKey,
  referencedDataFile,
} from '../../iceberg/scan/assign-deletes.ts'
import type { LiveFile } from '../../iceberg/scan/live-files.ts'
import type { NestedField, StructType, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { columnExpression, sqlTypeOf } from './column-expression.ts'
import { sqlLiteral } from './filter-sql.ts'
import { groupByLayout } from './group-files.ts'
import { duckDbError } from './instance.ts'
import { type ScanSource, scanSources, type SourceContext } from './scan-source.ts'

/** Files that one statement names, and rows that one `INSERT` brings: bounds on the text of a statement. */
const filesPerQueryMax = 512
const bytesPerQueryMax = 2 * 1024 * 1024 * 1024

export type EqualitySet = {
  readonly table: string
  readonly paths: readonly (readonly NestedField[])[]
  /** Applies whatever the partition. */
  readonly isEverywhere: boolean
  readonly files: ReadonlySet<LiveFile>
}

export type DeleteTables = {
  /** Number of a data file's partition, for `part`. */
  partOf(file: LiveFile): number
  readonly equalitySets: readonly EqualitySet[]
}

export type DeleteIo = {
  readonly connection: DuckDBConnection
  readonly store: Pick<ObjectStore, 'localPath'>
  readonly context: SourceContext
}

export async function loadDeletes(io: DeleteIo, tasks: readonly FileTask[]): Promise<DeleteTables> {
  const parts = new Map<string, number>()
  const partOf = ({ dataFile }: LiveFile): number => {
    const key = partitionKey(dataFile.specId, dataFile.partition)
    const part = parts.get(key) ?? parts.size
    parts.set(key, part)
    return part
  }
  try {
    await loadPositions(io, tasks, partOf)
    const equalitySets: EqualitySet[] = []
    for (const group of equalityGroups(tasks, io.context.metadata)) {
      equalitySets.push(await loadEqualitySet(io, group, equalitySets.length, partOf))
    }
    return { partOf, equalitySets }
  } catch (error) {
    throw duckDbError(error, 'read delete files')
  }
}

async function loadPositions(
  io: DeleteIo,
  tasks: readonly FileTask[],
  partOf: (file: LiveFile) => number,
): Promise<void> {
  const { connection } = io
  const files = new Set(tasks.flatMap(({ positionDeletes }) => positionDeletes))
  if (files.size === 0) return
  await connection.run(`CREATE TEMP TABLE positions (task INTEGER, pos BIGINT)`)
  await connection.run(
    `CREATE TEMP TABLE targets (task INTEGER, path VARCHAR, part INTEGER, seq BIGINT)`,
  )
  const rows = tasks.flatMap(({ data, positionDeletes }, task) =>
    positionDeletes.length === 0
      ? []
      : [
          `(${task}, ${sqlLiteral('string', data.dataFile.filePath)}, ${partOf(data)}, ${data.sequenceNumber})`,
        ],
  )
  for (const portion of portions(rows)) {
    await connection.run(`INSERT INTO targets VALUES ${portion.join(', ')}`)
  }
  const factsOf = (file: LiveFile) => {
    const referenced = referencedDataFile(file)
    return {
      part: String(partOf(file)),
      seq: String(file.sequenceNumber),
      target: referenced === null ? 'CAST(NULL AS VARCHAR)' : sqlLiteral('string', referenced),
    }
  }
  for await (const { columns, sql } of deleteSources(io, [...files], factsOf, positionMapping)) {
    const path = columnExpression(columns, [positionFields.path])
    const position = columnExpression(columns, [positionFields.position])
    await connection.run(`INSERT INTO positions
      SELECT t.task, ${position} FROM ${sql}
      JOIN targets t ON t.path = ${path}
      WHERE t.seq <= f.seq AND (f.target = t.path OR (f.target IS NULL AND f.part = t.part))`)
  }
  await connection.run('DROP TABLE targets')
}

const positionFields: Readonly<Record<'path' | 'position', NestedField>> = {
  path: { id: deleteFilePathId, name: 'file_path', required: true, type: 'string' },
  position: { id: deletePositionId, name: 'pos', required: true, type: 'long' },
}
/** The two columns are called so by the spec: files without field ids are understood, too. */
const positionMapping = new Map([
  ['file_path', { id: deleteFilePathId, fields: new Map() }],
  ['pos', { id: deletePositionId, fields: new Map() }],
])

type EqualityGroup = {
  readonly paths: readonly (readonly NestedField[])[]
  readonly isEverywhere: boolean
  readonly files: Set<LiveFile>
}

function equalityGroups(tasks: readonly FileTask[], metadata: TableMetadata): EqualityGroup[] {
  const groups = new Map<string, EqualityGroup>()
  const isSeen = new Set<LiveFile>()
  for (const file of tasks.flatMap(({ equalityDeletes }) => equalityDeletes)) {
    if (isSeen.has(file)) continue
    isSeen.add(file)
    const ids = [...new Set(file.dataFile.equalityIds)].toSorted((a, b) => a - b)
    const isEverywhere = isUnpartitioned(metadata, file.dataFile.specId)
    const key = `${isEverywhere}:${ids.join(',')}`
    const group = groups.get(key) ?? {
      paths: ids.map((id) => equalityPath(metadata, id, file)),
      isEverywhere,
      files: new Set(),
    }
    if (group.paths.length === 0) {
      throw new PotokError('DataCorrupt', 'an equality delete file names no columns', {
        context: { file: file.dataFile.filePath },
      })
    }
    group.files.add(file)
    groups.set(key, group)
  }
  return [...groups.values()]
}

/** The column may have been dropped since: then the newest schema that has it tells its type. */
function equalityPath(metadata: TableMetadata, id: number, file: LiveFile): NestedField[] {
  const newestFirst = metadata.schemas.toSorted((a, b) => b.schemaId - a.schemaId)
  const current = newestFirst.filter(({ schemaId }) => schemaId === metadata.currentSchemaId)
  for (const schema of [...current, ...newestFirst]) {
    const path = pathById(schema, id)
    const type = path?.at(-1)?.type
    if (path === null || type === undefined) continue
    if (type === 'float' || type === 'double' || typeof type !== 'string') {
      throw new PotokError('Unsupported', 'potok does not delete by equality of such a column', {
        context: { file: file.dataFile.filePath, fieldId: id },
      })
    }
    // A file that is older than the column has null there.
    return path.map((field) => ({ ...field, required: false }))
  }
  throw new PotokError('DataCorrupt', `no schema has the equality column ${id}`, {
    context: { file: file.dataFile.filePath },
  })
}

function pathById(struct: StructType, id: number): NestedField[] | null {
  for (const field of struct.fields) {
    if (field.id === id) return [field]
    if (typeof field.type === 'string' || field.type.type !== 'struct') continue
    const below = pathById(field.type, id)
    if (below !== null) return [field, ...below]
  }
  return null
}

async function loadEqualitySet(
  io: DeleteIo,
  { paths, isEverywhere, files }: EqualityGroup,
  index: number,
  partOf: (file: LiveFile) => number,
): Promise<EqualitySet> {
  const { connection } = io
  const table = `equality_${index}`
  const keys = paths.map((_, i) => `k${i}`)
  const typed = paths.map((path, i) => `k${i} ${sqlTypeOf((path.at(-1) as NestedField).type)}`)
  await connection.run(
    `CREATE TEMP TABLE all_${table} (part INTEGER, ${typed.join(', ')}, seq BIGINT)`,
  )
  const factsOf = (file: LiveFile) => ({
    part: String(isEverywhere ? 0 : partOf(file)),
    seq: String(file.sequenceNumber),
  })
  for await (const { columns, sql } of deleteSources(io, [...files], factsOf, io.context.mapping)) {
    const values = paths.map((path) => columnExpression(columns, path))
    await connection.run(
      `INSERT INTO all_${table} SELECT DISTINCT f.part, ${values.join(', ')}, f.seq FROM ${sql}`,
    )
  }
  await connection.run(`CREATE TEMP TABLE ${table} AS
    SELECT part, ${keys.join(', ')}, max(seq) AS seq FROM all_${table} GROUP BY ALL`)
  await connection.run(`DROP TABLE all_${table}`)
  return { table, paths, isEverywhere, files }
}

/** Delete files as sources, so many at a time that a statement stays small. */
async function* deleteSources(
  io: DeleteIo,
  files: readonly LiveFile[],
  factsOf: (file: LiveFile) => Readonly<Record<string, string>>,
  mapping: SourceContext['mapping'],
): AsyncGenerator<ScanSource> {
  for (const portion of portions(files, ({ dataFile }) => dataFile.fileSizeBytes)) {
    const paths = await Promise.all(
      portion.map(({ dataFile }) => io.store.localPath(dataFile.filePath)),
    )
    const groups = await groupByLayout(
      io.connection,
      paths,
      (i) => (portion[i] as LiveFile).dataFile.filePath,
    )
    const sources = portion.map((file, i) => ({
      dataFile: file.dataFile,
      path: paths[i] as string,
      facts: factsOf(file),
    }))
    yield* scanSources({ ...io.context, mapping }, groups, sources)
  }
}

/** So few that a statement stays small, and so little that copies of them on this disk do. */
export function portions<T>(all: readonly T[], bytesOf: (each: T) => number = () => 0): T[][] {
  const result: T[][] = []
  let bytes = 0
  for (const each of all) {
    const last = result.at(-1)
    bytes += bytesOf(each)
    if (last !== undefined && last.length < filesPerQueryMax && bytes <= bytesPerQueryMax) {
      last.push(each)
    } else {
      result.push([each])
      bytes = bytesOf(each)
    }
  }
  return result
}
