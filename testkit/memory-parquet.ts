/**
 * ParquetWriter for tests of protocols: the rows of a day become one JSON object in the store. Same promises
 * about days and locations as the real writer; no statistics, no sorting.
 */
import type { Column, TableDefinition, Utf8Column, WritableBatch } from '../kernel/columns.ts'
import type { ObjectStore, ParquetWriter, WrittenFile } from '../kernel/ports.ts'
import { dayOfUs } from '../kernel/time.ts'

export type MemoryRow = Readonly<Record<string, unknown>>

export function createMemoryParquetWriter(store: ObjectStore): ParquetWriter {
  return {
    async write(definition, batch, locationOf) {
      const written: WrittenFile[] = []
      const rows = rowsOf(definition, batch)
      const dayColumn = definition.partitionByDayOf
      const byDay = Map.groupBy(rows, (row) =>
        dayColumn === null ? null : dayOfUs(row[dayColumn] as number),
      )
      for (const [partitionDay, dayRows] of byDay) {
        const location = locationOf(partitionDay)
        const bytes = Buffer.from(
          JSON.stringify(dayRows, (_key, value: unknown) =>
            typeof value === 'bigint' ? Number(value) : value,
          ),
        )
        await store.write(location, bytes)
        written.push({
          location,
          partitionDay,
          recordCount: dayRows.length,
          fileSizeBytes: bytes.length,
          columns: [],
        })
      }
      return written
    },
    async close() {},
  }
}

export async function readMemoryParquet(
  store: Pick<ObjectStore, 'read'>,
  location: string,
): Promise<MemoryRow[]> {
  return JSON.parse(Buffer.from(await store.read(location)).toString('utf8')) as MemoryRow[]
}

/** Rows as objects, for judging batches in tests. */
export function rowsOf(definition: TableDefinition, batch: WritableBatch): MemoryRow[] {
  return Array.from({ length: batch.rowCount }, (_, row) =>
    Object.fromEntries(
      definition.columns.map(({ name }) => [
        name,
        valueOf(batch.columns[name] as Column | Utf8Column, row),
      ]),
    ),
  )
}

function valueOf(column: Column | Utf8Column, row: number): unknown {
  if (column.type === 'string') return column.values[row]
  if (column.nulls?.[row] === 1) return null
  if (column.type === 'uuid') {
    return Buffer.from(column.values.subarray(row * 16, row * 16 + 16)).toString('hex')
  }
  if (column.type === 'utf8') {
    const start = row === 0 ? 0 : (column.ends[row - 1] as number)
    return Buffer.from(column.bytes.subarray(start, column.ends[row])).toString('utf8')
  }
  if (column.type === 'map<int,long>') {
    const start = row === 0 ? 0 : (column.ends[row - 1] as number)
    const end = column.ends[row] as number
    return Array.from({ length: end - start }, (_, i) => [
      column.keys[start + i],
      column.values[start + i],
    ])
  }
  return column.values[row]
}
