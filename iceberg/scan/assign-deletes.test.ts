import { describe, expect, test } from 'vitest'
import type { DataFile, PartitionValue } from '../spec/data-file.ts'
import { newTableMetadata } from '../spec/new-table.ts'
import type { PartitionSpec, TableMetadata } from '../spec/table-metadata.ts'
import { assignDeletes, deleteFilePathId } from './assign-deletes.ts'
import type { LiveFile } from './live-files.ts'

const field = (transform: string) => ({ sourceId: 1, fieldId: 1000, name: 'p', transform })
const specs: readonly PartitionSpec[] = [
  { specId: 0, fields: [] },
  { specId: 1, fields: [field('identity')] },
  { specId: 2, fields: [field('void')] },
  { specId: 3, fields: [field('bucket[4]')] },
]
const metadata: TableMetadata = {
  ...newTableMetadata(
    {
      uuid: 'u',
      location: 'file:///t',
      schema: {
        type: 'struct',
        schemaId: 0,
        fields: [{ id: 1, name: 'x', required: false, type: 'long' }],
      },
    },
    1,
  ),
  partitionSpecs: specs,
}

function live(
  content: DataFile['content'],
  filePath: string,
  sequenceNumber: number,
  specId: number,
  partition: readonly PartitionValue[],
  more: Partial<DataFile> = {},
): LiveFile {
  return {
    dataFile: {
      content,
      filePath,
      fileFormat: 'PARQUET',
      specId,
      partition,
      recordCount: 1,
      fileSizeBytes: 1,
      ...more,
    },
    sequenceNumber,
    fileSequenceNumber: sequenceNumber,
    snapshotId: 1n,
    manifestPath: 'm',
  }
}

const data = (path: string, sequence: number, specId = 0, partition: PartitionValue[] = []) =>
  live('data', path, sequence, specId, partition)
const positions = (
  path: string,
  sequence: number,
  specId = 0,
  partition: PartitionValue[] = [],
  more: Partial<DataFile> = {},
) => live('position-deletes', path, sequence, specId, partition, more)
const equality = (path: string, sequence: number, specId = 0, partition: PartitionValue[] = []) =>
  live('equality-deletes', path, sequence, specId, partition)

/** Names of the deletes that apply, by data file. */
function assigned(files: LiveFile[], deletes: LiveFile[]): Record<string, string[]> {
  return Object.fromEntries(
    assignDeletes(metadata, files, deletes).map((task) => [
      task.data.dataFile.filePath,
      [...task.positionDeletes, ...task.equalityDeletes]
        .map((each) => each.dataFile.filePath)
        .toSorted(),
    ]),
  )
}

describe('deletes', () => {
  test('by position reach files of their own commit and older ones, by equality only older ones', () => {
    const files = [data('d1', 1), data('d2', 2), data('d3', 3)]
    expect(assigned(files, [positions('p2', 2), equality('e2', 2)])).toEqual({
      d1: ['e2', 'p2'],
      d2: ['p2'],
      d3: [],
    })
  })

  test('stay within their partition and its spec', () => {
    const files = [data('a', 1, 1, [5n]), data('b', 1, 1, [6n]), data('c', 1, 3, [5])]
    expect(assigned(files, [positions('p', 2, 1, [5n]), equality('e', 2, 1, [5n])])).toEqual({
      a: ['e', 'p'],
      b: [],
      c: [],
    })
  })

  test('by equality in a spec that partitions nothing reach all specs, by position they do not', () => {
    const files = [data('a', 1, 1, [5n]), data('b', 1)]
    expect(assigned(files, [positions('p', 2), equality('e', 2)])).toEqual({
      a: ['e'],
      b: ['e', 'p'],
    })
    expect(assigned(files, [equality('v', 2, 2, [null])])).toEqual({ a: ['v'], b: ['v'] })
  })

  test('by position that name one file reach it alone, whatever the partition', () => {
    const files = [data('a', 1, 1, [5n]), data('b', 1, 1, [6n]), data('a2', 3, 1, [6n])]
    const bounds = new Map([[deleteFilePathId, Buffer.from('b')]])
    expect(
      assigned(files, [
        positions('p', 2, 1, [6n], { referencedDataFile: 'a' }),
        positions('q', 2, 1, [6n], { lowerBounds: bounds, upperBounds: bounds }),
        positions('r', 2, 1, [6n], { referencedDataFile: 'a2' }),
      ]),
    ).toEqual({ a: ['p'], b: ['q'], a2: [] })
  })

  test('find their partition where older manifests hold a narrower number, null, bytes or text', () => {
    const same: [PartitionValue, PartitionValue][] = [
      [5, 5n],
      [null, null],
      [Uint8Array.of(1, 2), Buffer.from([1, 2])],
      ['a,b', 'a,b'],
      [Number.NaN, Number.NaN],
    ]
    for (const [left, right] of same) {
      const task = assigned([data('d', 1, 1, [left])], [equality('e', 2, 1, [right])])
      expect(task).toEqual({ d: ['e'] })
    }
    const different: [PartitionValue, PartitionValue][] = [
      ['5', 5n],
      ['null', null],
      [0, -0],
      [Uint8Array.of(1), '01'],
    ]
    for (const [left, right] of different) {
      const task = assigned([data('d', 1, 1, [left])], [equality('e', 2, 1, [right])])
      expect(task).toEqual({ d: [] })
    }
  })
})
