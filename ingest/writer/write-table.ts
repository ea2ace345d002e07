/** Rows as data files of one of the writer's tables: a file a day, named so that nobody else has the name. */
import assert from 'node:assert'
import type { TableDefinition, WritableBatch } from '../../kernel/columns.ts'
import type { IdSource, ParquetWriter } from '../../kernel/ports.ts'
import { formatDay } from '../../kernel/time.ts'
import type { LoadedTable } from '../../iceberg/catalog.ts'
import type { DataFile } from '../../iceberg/spec/data-file.ts'
import { dataFileOf } from '../../iceberg/spec/from-definition.ts'

export async function writeTable(
  ports: { readonly parquet: ParquetWriter; readonly ids: IdSource },
  definition: TableDefinition,
  batch: WritableBatch,
  table: LoadedTable,
): Promise<DataFile[]> {
  if (batch.rowCount === 0) return []
  const { location, defaultSpecId, defaultSortOrderId } = table.metadata
  const written = await ports.parquet.write(definition, batch, (day) => {
    assert(day !== null, 'both tables are partitioned by day')
    const folder = `${definition.partitionByDayOf}_day=${formatDay(day)}`
    return `${location}/data/${folder}/${ports.ids.uuid()}.parquet`
  })
  const target = { specId: defaultSpecId, sortOrderId: defaultSortOrderId }
  const files = written.map((file) => dataFileOf(definition, file, target))
  const rows = files.reduce((sum, { recordCount }) => sum + recordCount, 0)
  assert.equal(rows, batch.rowCount, 'every row is in a file, and in one only')
  return files
}
