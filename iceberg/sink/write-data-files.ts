/** Rows as data files of a table that is partitioned by day: a file a day, named so that nobody else has the name. */
import assert from 'node:assert'
import type { TableDefinition, WritableBatch } from '../../kernel/columns.ts'
import type { IdSource, ParquetWriter } from '../../kernel/ports.ts'
import { formatDay } from '../../kernel/time.ts'
import type { LoadedTable } from '../catalog.ts'
import type { DataFile } from '../spec/data-file.ts'
import { dataFileOf } from '../spec/from-definition.ts'

export async function writeDataFiles(
  ports: { readonly parquet: ParquetWriter; readonly ids: IdSource },
  definition: TableDefinition,
  batch: WritableBatch,
  table: LoadedTable,
): Promise<DataFile[]> {
  if (batch.rowCount === 0) return []
  const { location, defaultSpecId, defaultSortOrderId } = table.metadata
  const written = await ports.parquet.write(definition, batch, (day) => {
    assert(day !== null, `${definition.name} is partitioned by day`)
    const folder = `${definition.partitionByDayOf}_day=${formatDay(day)}`
    return `${location}/data/${folder}/${ports.ids.uuid()}.parquet`
  })
  const target = { specId: defaultSpecId, sortOrderId: defaultSortOrderId }
  const files = written.map((file) => dataFileOf(definition, file, target))
  const rows = files.reduce((sum, { recordCount }) => sum + recordCount, 0)
  assert.equal(rows, batch.rowCount, 'every row is in a file, and in one only')
  return files
}
