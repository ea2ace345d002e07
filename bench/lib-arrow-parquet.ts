/**
 * The rival of docs/adr/0002: the same rows by apache-arrow and parquet-wasm. Sorted in JavaScript (an index
 * sorted by camera rank and time), gathered into Arrow buffers by hand, field ids as Arrow field metadata.
 */
import { writeFileSync } from 'node:fs'
import * as arrow from 'apache-arrow'
import * as wasm from 'parquet-wasm'
import type { Column, ColumnBatch, TableDefinition } from '../kernel/columns.ts'

export function writeByArrow(definition: TableDefinition, batch: ColumnBatch, path: string): void {
  const order = sortedOrder(batch)
  const fields: arrow.Field[] = []
  const children: arrow.Data[] = []
  for (const { name, id, required } of definition.columns) {
    const data = dataOf(batch.columns[name] as Column, order)
    const metadata = new Map([['PARQUET:field_id', String(id)]])
    fields.push(new arrow.Field(name, data.type, !required, metadata))
    children.push(data)
  }
  const schema = new arrow.Schema(fields)
  const struct = arrow.makeData({
    type: new arrow.Struct(fields),
    length: batch.rowCount,
    nullCount: 0,
    children,
  })
  const table = new arrow.Table(schema, [new arrow.RecordBatch(schema, struct)])
  const properties = new wasm.WriterPropertiesBuilder()
    .setCompression(wasm.Compression.ZSTD)
    .setMaxRowGroupSize(definition.rowGroupRows)
    .build()
  const ipc = wasm.Table.fromIPCStream(arrow.tableToIPC(table, 'stream'))
  writeFileSync(path, wasm.writeParquet(ipc, properties))
}

/** By camera, then time: ranks of the few cameras make one number of both. */
function sortedOrder(batch: ColumnBatch): Uint32Array {
  const cameras = batch.columns['kvfv_id'] as Extract<Column, { type: 'string' }>
  const times = batch.columns['event_time'] as Extract<Column, { type: 'timestamptz' }>
  const names = [...new Set(cameras.values as string[])].sort()
  const ranks = new Map(names.map((name, rank) => [name, rank]))
  const rank = Uint32Array.from(cameras.values as string[], (name) => ranks.get(name) as number)
  return Uint32Array.from(rank.keys()).sort(
    (a, b) =>
      (rank[a] as number) - (rank[b] as number) ||
      (times.values[a] as number) - (times.values[b] as number),
  )
}

function dataOf(column: Column, order: Uint32Array): arrow.Data {
  const length = order.length
  switch (column.type) {
    case 'string':
      return texts(column.values as string[], order)
    case 'uuid': {
      const values = new Uint8Array(length * 16)
      for (let i = 0; i < length; i++) {
        const from = (order[i] as number) * 16
        for (let b = 0; b < 16; b++) values[i * 16 + b] = column.values[from + b] as number
      }
      return arrow.makeData({ type: new arrow.FixedSizeBinary(16), length, data: values })
    }
    case 'timestamptz': {
      const values = new BigInt64Array(length)
      const words = new Int32Array(values.buffer)
      for (let i = 0; i < length; i++) {
        const value = column.values[order[i] as number] as number
        const high = Math.floor(value / 4294967296)
        words[2 * i] = value - high * 4294967296
        words[2 * i + 1] = high
      }
      return arrow.makeData({ type: new arrow.TimestampMicrosecond('UTC'), length, data: values })
    }
    case 'double':
      return arrow.makeData({
        type: new arrow.Float64(),
        length,
        data: Float64Array.from(order, (i) => column.values[i] as number),
      })
    case 'int':
      return arrow.makeData({
        type: new arrow.Int32(),
        length,
        data: Int32Array.from(order, (i) => column.values[i] as number),
      })
    case 'long': {
      const values = new BigInt64Array(length)
      for (let i = 0; i < length; i++) values[i] = column.values[order[i] as number] as bigint
      return arrow.makeData({ type: new arrow.Int64(), length, data: values })
    }
    case 'boolean':
    case 'date':
    case 'map<int,long>':
      throw new TypeError(`events has no ${column.type}`)
    default:
      throw new TypeError(`no such column: ${String(column satisfies never)}`)
  }
}

function texts(values: readonly string[], order: Uint32Array): arrow.Data {
  const offsets = new Int32Array(order.length + 1)
  let bytes = Buffer.alloc(order.length * 16)
  let at = 0
  for (let i = 0; i < order.length; i++) {
    const text = values[order[i] as number] as string
    if (at + text.length * 3 > bytes.length) {
      const grown = Buffer.alloc(bytes.length * 2 + text.length * 3)
      bytes.copy(grown)
      bytes = grown
    }
    at += bytes.write(text, at)
    offsets[i + 1] = at
  }
  return arrow.makeData({
    type: new arrow.Utf8(),
    length: order.length,
    valueOffsets: offsets,
    data: bytes.subarray(0, at),
  })
}
