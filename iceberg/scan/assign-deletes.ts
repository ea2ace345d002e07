/**
 * Which delete files apply to which data file (spec, "Scan Planning"), as the Java client has it:
 *
 * - A position delete file applies to data files that are not newer (data sequence number ≤ its own): to the one
 *   that it names, wherever that lies, or else to those of the same spec and partition.
 * - An equality delete file applies to data files that are strictly older: everywhere where its spec is
 *   unpartitioned, else in the same spec and partition.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { PartitionValue } from '../spec/data-file.ts'
import { partitionSpecById } from '../spec/schema.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'
import type { LiveFile } from './live-files.ts'

export type FileTask = {
  readonly data: LiveFile
  readonly positionDeletes: readonly LiveFile[]
  readonly equalityDeletes: readonly LiveFile[]
}

/** Reserved field ids of a position delete file. */
export const deleteFilePathId = 2147483546
export const deletePositionId = 2147483545

export function assignDeletes(
  metadata: TableMetadata,
  files: readonly LiveFile[],
  deleteFiles: readonly LiveFile[],
): FileTask[] {
  if (deleteFiles.length === 0) {
    return files.map((data) => ({ data, positionDeletes: [], equalityDeletes: [] }))
  }
  const byPath = new Map<string, LiveFile[]>()
  const positionsByPartition = new Map<string, LiveFile[]>()
  const equalityByPartition = new Map<string, LiveFile[]>()
  const equalityEverywhere: LiveFile[] = []
  for (const file of deleteFiles) {
    const { content, specId, partition } = file.dataFile
    if (content === 'position-deletes') {
      const path = referencedDataFile(file)
      if (path === null) push(positionsByPartition, partitionKey(specId, partition), file)
      else push(byPath, path, file)
    } else if (isUnpartitioned(metadata, specId)) {
      equalityEverywhere.push(file)
    } else {
      push(equalityByPartition, partitionKey(specId, partition), file)
    }
  }
  const namedPositions = byAge(byPath)
  const positions = byAge(positionsByPartition)
  const equality = byAge(equalityByPartition)
  const everywhere = byAge(new Map([['', equalityEverywhere]]))
  return files.map((data) => {
    const key = partitionKey(data.dataFile.specId, data.dataFile.partition)
    const sequence = data.sequenceNumber
    return {
      data,
      positionDeletes: joined(
        namedPositions(data.dataFile.filePath, sequence),
        positions(key, sequence),
      ),
      equalityDeletes: joined(equality(key, sequence + 1), everywhere('', sequence + 1)),
    }
  })
}

/**
 * The one data file that a position delete file is about, if it says so: by its own field, or by bounds of the
 * column of paths that are equal (these are never cut).
 */
export function referencedDataFile({ dataFile }: LiveFile): string | null {
  if (dataFile.referencedDataFile !== undefined) return dataFile.referencedDataFile
  const lower = dataFile.lowerBounds?.get(deleteFilePathId)
  const upper = dataFile.upperBounds?.get(deleteFilePathId)
  if (lower === undefined || upper === undefined || Buffer.compare(lower, upper) !== 0) return null
  return Buffer.from(lower).toString('utf8')
}

/** A partition as text: equal texts are equal partitions. Older manifests hold narrower numbers of one value. */
export function partitionKey(specId: number, partition: readonly PartitionValue[]): string {
  const parts = partition.map((value) => {
    if (typeof value === 'string') return JSON.stringify(value)
    if (value instanceof Uint8Array) return `x${Buffer.from(value).toString('hex')}`
    return Object.is(value, -0) ? '-0' : String(value)
  })
  return `${specId}:${parts.join(',')}`
}

/** A spec whose fields are all void partitions nothing: equality deletes of it apply everywhere. */
export function isUnpartitioned(metadata: TableMetadata, specId: number): boolean {
  return partitionSpecById(metadata, specId).fields.every(({ transform }) => transform === 'void')
}

/** Per key the files of at least a sequence number; equal answers are one array, since many files share them. */
function byAge(
  groups: ReadonlyMap<string, readonly LiveFile[]>,
): (key: string, sequenceMin: number) => readonly LiveFile[] {
  const sorted = new Map(
    [...groups].map(([key, files]) => [
      key,
      {
        files: files.toSorted((a, b) => a.sequenceNumber - b.sequenceNumber),
        suffixes: new Map<number, readonly LiveFile[]>(),
      },
    ]),
  )
  return (key, sequenceMin) => {
    const group = sorted.get(key)
    if (group === undefined) return none
    let low = 0
    let high = group.files.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((group.files[middle] as LiveFile).sequenceNumber < sequenceMin) low = middle + 1
      else high = middle
    }
    const suffix = group.suffixes.get(low) ?? group.files.slice(low)
    group.suffixes.set(low, suffix)
    return suffix
  }
}

const none: readonly LiveFile[] = []

function joined(a: readonly LiveFile[], b: readonly LiveFile[]): readonly LiveFile[] {
  if (a.length === 0) return b
  return b.length === 0 ? a : [...a, ...b]
}

function push(groups: Map<string, LiveFile[]>, key: string, file: LiveFile): void {
  const group = groups.get(key)
  if (group === undefined) groups.set(key, [file])
  else group.push(file)
}

/** What potok's reader doesn't understand is refused by name, before anything is read. */
export function assertReadable(metadata: TableMetadata, tasks: readonly FileTask[]): void {
  if (metadata.formatVersion > 2) {
    throw unsupported(metadata, `tables of format version ${metadata.formatVersion}`)
  }
  for (const { data, positionDeletes, equalityDeletes } of tasks) {
    for (const { dataFile } of [data, ...positionDeletes, ...equalityDeletes]) {
      const format = dataFile.fileFormat.toUpperCase()
      if (format === 'PUFFIN') throw unsupported(metadata, `deletion vectors`, dataFile.filePath)
      if (format !== 'PARQUET') {
        throw unsupported(metadata, `${format} files`, dataFile.filePath)
      }
      if (dataFile.keyMetadata !== undefined) {
        throw unsupported(metadata, 'encrypted files', dataFile.filePath)
      }
    }
  }
}

function unsupported(metadata: TableMetadata, what: string, file?: string): PotokError {
  return new PotokError('Unsupported', `potok does not read ${what}`, {
    context: { location: metadata.location, ...(file === undefined ? {} : { file }) },
  })
}
