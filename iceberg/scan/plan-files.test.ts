import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createMemoryObjectStore } from '../../adapters/object-store/memory-object-store.ts'
import type { ColumnStats } from '../../kernel/columns.ts'
import { eventsTable } from '../../kernel/tables.ts'
import { startOfDayUs } from '../../kernel/time.ts'
import { filterExpressions, judgeFilter } from '../../testkit/judge-filter.ts'
import { createStagedTable, fakeDataFile, stagedTableOf } from '../../testkit/staged-table.ts'
import {
  compareSingleValues,
  encodeSingleValue,
  type SingleValue,
  truncateLower,
  truncateUpper,
} from '../codec/single-value.ts'
import type { DataFile, PartitionValue } from '../spec/data-file.ts'
import { dataFileOf } from '../spec/from-definition.ts'
import type { PartitionSpec, Schema } from '../spec/table-metadata.ts'
import { applyTransform, parseTransform } from '../spec/transforms.ts'
import { createManifestCache, planScan } from './plan-files.ts'
import { daysFilter, type ScanFilter, type ScanPredicate } from './scan-filter.ts'

const day = 20_000
const at = (days: number, us = 0) => startOfDayUs(day + days) + us

function stats(
  fieldId: number,
  lower: ColumnStats['lower'],
  upper: ColumnStats['upper'],
): ColumnStats {
  return { fieldId, sizeBytes: 1, valueCount: 10, nullCount: 0, lower, upper }
}

/** A file of events of one day, with cameras and instants in the given ranges. */
function file(name: string, cameras: readonly [string, string], times: readonly [number, number]) {
  return dataFileOf(
    eventsTable,
    {
      location: name,
      partitionDay: Math.floor(times[0] / 86_400_000_000),
      recordCount: 10,
      fileSizeBytes: 100,
      columns: [
        stats(2, cameras[0], cameras[1]),
        stats(3, times[0], times[1]),
        stats(4, 10, 90),
        { ...stats(5, null, null), nullCount: 10 },
        stats(10, 5n, 2n ** 60n),
      ],
    },
    { specId: 0, sortOrderId: 1 },
  )
}

async function table() {
  const staged = stagedTableOf(eventsTable, { store: createMemoryObjectStore() })
  await staged.change({
    add: [
      file('d0', ['KV1', 'KV5'], [at(0), at(0, 1_000)]),
      file('d1', ['KV1', 'KV5'], [at(1), at(2, -1)]),
    ],
  })
  await staged.change({ add: [file('d1b', ['KV6', 'KV9'], [at(1, 5_000), at(1, 9_000)])] })
  await staged.change({ add: [fakeDataFile(eventsTable, 'bare', { day: day + 3 })] })
  const plan = async (filter: ScanFilter) => {
    const { files } = await planScan(staged.io, staged.loaded().metadata, { filter })
    return files.map((each) => each.dataFile.filePath.replace(/.*\/|\.parquet/g, '')).toSorted()
  }
  return { staged, plan }
}

describe('a scan', () => {
  test('without a filter gives every live file', async () => {
    const { plan } = await table()
    expect(await plan([])).toEqual(['bare', 'd0', 'd1', 'd1b'])
  })

  test('of days gives the files of these days only', async () => {
    const { plan } = await table()
    expect(await plan(daysFilter('event_time', day, day + 1))).toEqual(['d0'])
    expect(await plan(daysFilter('event_time', day + 1, day + 2))).toEqual(['d1', 'd1b'])
    expect(await plan(daysFilter('event_time', day + 1, day + 4))).toEqual(['bare', 'd1', 'd1b'])
    expect(await plan(daysFilter('event_time', day + 4, day + 9))).toEqual([])
  })

  test.each<[string, ScanPredicate, string[]]>([
    ['=', { column: 'kvfv_id', op: '=', value: 'KV7' }, ['bare', 'd1b']],
    ['in', { column: 'kvfv_id', op: 'in', values: ['KV0', 'KV2'] }, ['bare', 'd0', 'd1']],
    ['in nothing', { column: 'kvfv_id', op: 'in', values: [] }, []],
    ['< at the lower bound', { column: 'kvfv_id', op: '<', value: 'KV6' }, ['bare', 'd0', 'd1']],
    ['<= at it', { column: 'kvfv_id', op: '<=', value: 'KV6' }, ['bare', 'd0', 'd1', 'd1b']],
    ['> at the upper bound', { column: 'kvfv_id', op: '>', value: 'KV5' }, ['bare', 'd1b']],
    ['>= at it', { column: 'kvfv_id', op: '>=', value: 'KV5' }, ['bare', 'd0', 'd1', 'd1b']],
    ['double', { column: 'vehicle_speed', op: '>', value: 90 }, ['bare']],
    ['long as number', { column: 'log_offset', op: '<', value: 5 }, ['bare']],
    ['long as bigint', { column: 'log_offset', op: '>', value: 2n ** 60n }, ['bare']],
    ['a column of nulls', { column: 'plate_number', op: '=', value: 'A' }, ['bare']],
    ['instants within a day', { column: 'event_time', op: '<', value: at(1, 5_000) }, ['d0', 'd1']],
  ])('by column bounds: %s', async (_, predicate, expected) => {
    const { plan } = await table()
    expect(await plan([predicate])).toEqual(expected)
  })

  test('reads no manifest that the list rules out', async () => {
    const { staged } = await table()
    const store = staged.io.store
    const reads: string[] = []
    const spying = {
      ...store,
      read: (location: string) => {
        reads.push(location)
        return store.read(location)
      },
    }
    const manifests = createManifestCache(spying, 1e6)
    await planScan({ store: spying, manifests }, staged.loaded().metadata, {
      filter: daysFilter('event_time', day + 3, day + 4),
    })
    expect(reads.filter((each) => each.includes('-m'))).toHaveLength(1)
  })

  test('of an older snapshot sees what it saw; of an unknown one is NotFound', async () => {
    const { staged } = await table()
    const { metadata } = staged.loaded()
    const first = metadata.snapshots[0]?.snapshotId as bigint
    expect((await planScan(staged.io, metadata, { snapshotId: first })).files).toHaveLength(2)
    await expect(planScan(staged.io, metadata, { snapshotId: 1n })).rejects.toMatchObject({
      kind: 'NotFound',
    })
  })

  test('of a table without snapshots is empty', async () => {
    const staged = stagedTableOf(eventsTable, { store: createMemoryObjectStore() })
    expect(await planScan(staged.io, staged.loaded().metadata)).toEqual({
      files: [],
      deleteFiles: [],
    })
  })

  test('by an unknown column or with a value of another type is an error', async () => {
    const { plan } = await table()
    await expect(plan([{ column: 'nope', op: '=', value: 1 }])).rejects.toMatchObject({
      kind: 'InvalidInput',
    })
    await expect(plan([{ column: 'kvfv_id', op: '=', value: 1 }])).rejects.toThrow(/another type/)
  })

  test('keeps delete files of the partitions it reads, whatever their own bounds', async () => {
    const { staged } = await table()
    const deletes = (name: string, days: number): DataFile => ({
      ...fakeDataFile(eventsTable, name, { day: day + days }),
      content: 'position-deletes',
    })
    await staged.change({ operation: 'delete', add: [deletes('x0', 0), deletes('x1', 1)] })
    const { deleteFiles } = await planScan(staged.io, staged.loaded().metadata, {
      filter: [
        ...daysFilter('event_time', day, day + 1),
        { column: 'kvfv_id', op: '=', value: 'Z' },
      ],
    })
    expect(deleteFiles.map((each) => each.dataFile.filePath)).toEqual([deletes('x0', 0).filePath])
  })
})

test('a spec whose column no schema has any more still prunes by its other fields', async () => {
  const { staged } = await table()
  const { metadata } = staged.loaded()
  const [spec] = metadata.partitionSpecs as [PartitionSpec]
  const gone = { sourceId: 99, fieldId: 1001, name: 'gone', transform: 'identity' }
  const older = { ...metadata, partitionSpecs: [{ ...spec, fields: [...spec.fields, gone] }] }
  const filter = daysFilter('event_time', day, day + 1)
  expect((await planScan(staged.io, older, { filter })).files).toHaveLength(1)
})

test('a file that holds a matching row is never pruned, whatever the partitioning', async () => {
  const instant = fc.integer({ min: -3 * 86_400_000_000, max: 3 * 86_400_000_000 })
  const columns: Record<string, { type: string; values: fc.Arbitrary<SingleValue> }> = {
    name: { type: 'string', values: fc.string({ unit: 'binary', maxLength: 4 }) },
    n: { type: 'long', values: fc.bigInt({ min: -20n, max: 20n }) },
    t: { type: 'timestamptz', values: instant },
    v: {
      type: 'double',
      values: fc.oneof(
        fc.double({ min: -3, max: 3, noNaN: true }),
        fc.constantFrom(-0, 0, Infinity, -Infinity, 1),
      ),
    },
    d: { type: 'date', values: fc.integer({ min: -800, max: 800 }) },
    u: { type: 'uuid', values: fc.uint8Array({ minLength: 16, maxLength: 16 }) },
    q: { type: 'decimal(9,2)', values: fc.bigInt({ min: -999n, max: 999n }) },
  }
  const names = Object.keys(columns)
  const schema: Schema = {
    type: 'struct',
    schemaId: 0,
    fields: names.map((name, i) => ({
      id: i + 1,
      name,
      required: false,
      type: columns[name]?.type as string,
    })),
  }
  const transforms: Record<string, string[]> = {
    name: ['identity', 'bucket[3]', 'truncate[1]'],
    n: ['identity', 'bucket[3]', 'truncate[7]', 'void'],
    t: ['year', 'month', 'day', 'hour', 'bucket[2]', 'identity'],
    v: ['identity'],
    d: ['year', 'month', 'day'],
    u: ['bucket[4]', 'identity'],
    q: ['truncate[50]', 'bucket[2]', 'identity'],
  }
  const fields = fc.constantFrom(
    ...Object.entries(transforms).flatMap(([name, list]) =>
      list.map((each) => [name, each] as const),
    ),
  )
  const nan = fc.constant(Number.NaN)
  const rows = fc.array(
    fc.record(
      Object.fromEntries(
        names.map((name) => {
          const { values } = columns[name] as { values: fc.Arbitrary<SingleValue> }
          return [name, fc.option(name === 'v' ? fc.oneof(values, nan) : values)]
        }),
      ),
    ),
    { minLength: 1, maxLength: 12 },
  )
  const expressions = filterExpressions(
    Object.fromEntries(
      names.map((name) => [name, columns[name]?.values as fc.Arbitrary<SingleValue>]),
    ),
    ['name'],
  )
  const boundsOf = (group: readonly Record<string, SingleValue | null>[], name: string) => {
    const values = group
      .map((row) => row[name] ?? null)
      .filter((value): value is SingleValue => value !== null && !Number.isNaN(value))
      .toSorted(compareSingleValues)
    const nulls = group.filter((row) => (row[name] ?? null) === null).length
    const nans = group.filter((row) => Number.isNaN(row[name])).length
    const [low, high] = [values[0], values.at(-1)]
    if (low === undefined || high === undefined) return { lower: null, upper: null, nulls, nans }
    const type = columns[name]?.type as string
    const cutHigh = typeof high === 'string' ? truncateUpper(high, 2) : high
    return {
      lower: encodeSingleValue(type, typeof low === 'string' ? truncateLower(low, 2) : low),
      upper: cutHigh === null ? null : encodeSingleValue(type, cutHigh),
      nulls,
      nans,
    }
  }

  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fields, { maxLength: 2, selector: ([name]) => name }),
      rows,
      fc.array(fc.array(expressions, { maxLength: 2 }), { minLength: 1, maxLength: 6 }),
      async (partitioning, all, filters) => {
        const spec: PartitionSpec = {
          specId: 0,
          fields: partitioning.map(([name, transform], i) => ({
            sourceId: names.indexOf(name) + 1,
            fieldId: 1000 + i,
            name: `${name}_p`,
            transform,
          })),
        }
        const partitionOf = (row: Record<string, SingleValue | null>): PartitionValue[] =>
          partitioning.map(([name, transform]) =>
            applyTransform(
              parseTransform(transform),
              columns[name]?.type as string,
              row[name] ?? null,
            ),
          )
        const groups = Object.entries(
          Object.groupBy(all, (row) => partitionOf(row).map(String).join('|')),
        ) as [string, typeof all][]
        const add = groups.map(([, group], i): DataFile => {
          const bounds = names.map((name) => boundsOf(group, name))
          const mapOf = <V>(pick: (each: (typeof bounds)[number]) => V | null) =>
            new Map(
              bounds.flatMap((each, at) => {
                const value = pick(each)
                return value === null ? [] : [[at + 1, value] as const]
              }),
            )
          return {
            content: 'data',
            filePath: String(i),
            fileFormat: 'PARQUET',
            specId: 0,
            partition: partitionOf(group[0] as (typeof all)[number]),
            recordCount: group.length,
            fileSizeBytes: 1,
            valueCounts: mapOf(() => group.length),
            nullValueCounts: mapOf((each) => each.nulls),
            nanValueCounts: mapOf((each) => each.nans),
            lowerBounds: mapOf((each) => each.lower),
            upperBounds: mapOf((each) => each.upper),
          }
        })
        const staged = createStagedTable({ store: createMemoryObjectStore(), schema, spec })
        await staged.change({ add })
        // Through bytes, not through what staging kept.
        const io = { store: staged.io.store, manifests: createManifestCache(staged.io.store, 1e6) }
        for (const filter of filters) {
          const { files } = await planScan(io, staged.loaded().metadata, { filter })
          const planned = new Set(files.map((each) => Number(each.dataFile.filePath)))
          for (const [i, [, group]] of groups.entries()) {
            const hasMatch = group.some((row) =>
              filter.every((each) => judgeFilter(row, each) === true),
            )
            if (hasMatch) expect(planned.has(i)).toBe(true)
          }
        }
      },
    ),
    { numRuns: 40 },
  )
})
