/**
 * Puts a batch of typed columns into a DuckDB table through the low-level data chunks: fixed-width columns
 * are memory copies, strings of up to 12 bytes are written in DuckDB's inline form (`string_t`: length and
 * text in 16 bytes), longer ones cost one native call a chunk. Twice as fast as `setColumns` (docs/adr/0002).
 *
 * The layout it relies on (little-endian vectors, 16-byte strings, lists as offset and length, UUID as a
 * 128-bit integer with the top bit flipped) is DuckDB's C API; the writer's round-trip tests fail where a
 * new version changes it.
 */
import assert from 'node:assert/strict'
import { type DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api'
import duckdb from '@duckdb/node-bindings'
import type { Column, TableDefinition, Utf8Column, WritableBatch } from '../../kernel/columns.ts'
import { logicalType } from './column-types.ts'

const chunkRows = duckdb.vector_size()
/** About 15 ms of copying; then other work of the thread gets its turn. */
const chunksPerTurn = 8
const stringBytes = 16
const inlineBytesMax = 12
const encoder = new TextEncoder()

/** Appends all rows. The table must have the definition's columns in their order. */
export async function appendBatch(
  connection: DuckDBConnection,
  tableName: string,
  definition: TableDefinition,
  batch: WritableBatch,
): Promise<void> {
  const columns = definition.columns.map((column) => {
    const values = batch.columns[column.name]
    assert(values !== undefined, `the batch lacks the column ${column.name}`)
    const type = values.type === 'utf8' ? 'string' : values.type
    assert(type === column.type, `${column.name} is ${values.type}, not ${column.type}`)
    assert(rowCountOf(values) >= batch.rowCount, `${column.name} has too few values`)
    return values
  })
  const chunk = duckdb.create_data_chunk(definition.columns.map(({ type }) => logicalType(type)))
  const appendable = new DuckDBDataChunk(chunk)
  const scratch = new Scratch()
  const appender = await connection.createAppender(tableName)
  try {
    for (let from = 0, turn = 1; from < batch.rowCount; from += chunkRows, turn++) {
      const to = Math.min(from + chunkRows, batch.rowCount)
      duckdb.data_chunk_reset(chunk)
      for (let c = 0; c < columns.length; c++) {
        fillVector(
          duckdb.data_chunk_get_vector(chunk, c),
          columns[c] as Column | Utf8Column,
          from,
          to,
          scratch,
        )
      }
      duckdb.data_chunk_set_size(chunk, to - from)
      appender.appendDataChunk(appendable)
      if (turn % chunksPerTurn === 0) await nextTurn()
    }
  } finally {
    appender.closeSync()
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function rowCountOf(column: Column | Utf8Column): number {
  if (column.type === 'map<int,long>' || column.type === 'utf8') return column.ends.length
  return column.type === 'uuid' ? column.values.length / 16 : column.values.length
}

/** Room for one chunk of one column on its way into a vector. */
class Scratch {
  readonly bytes = new Uint8Array(chunkRows * 16)
  readonly words = new Uint32Array(this.bytes.buffer)
  readonly validity = new Uint32Array(chunkRows / 32)
  /** Long texts of a column, one after another, and where they lie: row, start, end. */
  text = new Uint8Array(256 * 1024)
  readonly long = new Uint32Array(chunkRows * 3)
}

function fillVector(
  vector: duckdb.Vector,
  column: Column | Utf8Column,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  switch (column.type) {
    case 'string':
      fillStrings(vector, column.values, from, to, scratch)
      return
    case 'utf8':
      fillUtf8(vector, column, from, to, scratch)
      break
    case 'timestamptz':
      fillMicros(vector, column.values, from, to, scratch)
      break
    case 'uuid':
      fillUuids(vector, column.values, from, to, scratch)
      break
    case 'map<int,long>':
      fillMaps(vector, column, from, to, scratch)
      break
    case 'boolean':
      for (let i = from; i < to; i++) scratch.bytes[i - from] = column.values[i] === 0 ? 0 : 1
      copy(vector, scratch.bytes, 0, to - from)
      break
    case 'int':
    case 'date':
    case 'long':
    case 'double':
      copy(vector, column.values, from, to)
      break
  }
  if (column.nulls !== undefined) fillNulls(vector, column.nulls, from, to, scratch)
}

type Values = Uint8Array | Uint32Array | Int32Array | BigInt64Array | Float64Array

/** Elements [from, to) to the start of the vector. */
function copy(vector: duckdb.Vector, values: Values, from: number, to: number): void {
  const width = values.BYTES_PER_ELEMENT
  if (to === from) return
  duckdb.copy_data_to_vector(
    vector,
    0,
    values.buffer as ArrayBuffer,
    values.byteOffset + from * width,
    (to - from) * width,
  )
}

function fillNulls(
  vector: duckdb.Vector,
  nulls: Uint8Array,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const first = nulls.indexOf(1, from)
  if (first === -1 || first >= to) return
  scratch.validity.fill(0xffff_ffff)
  for (let i = first; i < to; i++) {
    if (nulls[i] === 1) markNull(scratch.validity, i - from)
  }
  flushValidity(vector, scratch.validity)
}

function markNull(validity: Uint32Array, row: number): void {
  const word = row >>> 5
  validity[word] = (validity[word] as number) & ~(1 << (row & 31))
}

function flushValidity(vector: duckdb.Vector, validity: Uint32Array): void {
  duckdb.vector_ensure_validity_writable(vector)
  duckdb.copy_data_to_vector_validity(
    vector,
    0,
    validity.buffer as ArrayBuffer,
    validity.byteOffset,
    validity.byteLength,
  )
}

/** Float64 to int64 in two words: several times faster than through bigint. Exact for safe integers. */
function fillMicros(
  vector: duckdb.Vector,
  values: Float64Array,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const { words } = scratch
  for (let i = from, w = 0; i < to; i++, w += 2) {
    const value = values[i] as number
    const high = Math.floor(value / 4294967296)
    words[w] = value - high * 4294967296
    words[w + 1] = high
  }
  copy(vector, words, 0, (to - from) * 2)
}

/** 16 bytes big-endian to a little-endian 128-bit integer whose top bit is flipped (DuckDB sorts it signed). */
function fillUuids(
  vector: duckdb.Vector,
  values: Uint8Array,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const { bytes } = scratch
  const rows = to - from
  for (let row = 0; row < rows; row++) {
    const source = (from + row) * 16
    const target = row * 16 + 15
    for (let b = 0; b < 16; b++) bytes[target - b] = values[source + b] as number
    bytes[target] = (bytes[target] as number) ^ 0x80
  }
  copy(vector, bytes, 0, rows * 16)
}

function fillMaps(
  vector: duckdb.Vector,
  column: Extract<Column, { type: 'map<int,long>' }>,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const { words } = scratch
  const base = from === 0 ? 0 : (column.ends[from - 1] as number)
  let start = base
  for (let i = from, w = 0; i < to; i++, w += 4) {
    const end = column.ends[i] as number
    words[w] = start - base
    words[w + 1] = 0
    words[w + 2] = end - start
    words[w + 3] = 0
    start = end
  }
  copy(vector, words, 0, (to - from) * 4)
  duckdb.list_vector_reserve(vector, start - base)
  duckdb.list_vector_set_size(vector, start - base)
  const entries = duckdb.list_vector_get_child(vector)
  copy(duckdb.struct_vector_get_child(entries, 0), column.keys, base, start)
  copy(duckdb.struct_vector_get_child(entries, 1), column.values, base, start)
}

/**
 * Texts of up to 12 bytes stand in their slots, the longer ones of a chunk are given at once with all that
 * stands between them, as in `pointToLong`.
 */
function fillUtf8(
  vector: duckdb.Vector,
  column: Utf8Column,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const { bytes: slots, words, long } = scratch
  const { bytes, ends } = column
  const base = from === 0 ? 0 : (ends[from - 1] as number)
  let longCount = 0
  let start = base
  for (let i = from, w = 0; i < to; i++, w += 4) {
    const end = ends[i] as number
    const length = end - start
    words[w] = length
    if (length > inlineBytesMax) {
      long[longCount++] = i - from
      long[longCount++] = start - base
      long[longCount++] = end - base
    } else {
      words[w + 1] = 0
      words[w + 2] = 0
      words[w + 3] = 0
      for (let p = start, slot = w * 4 + 4; p < end; p++) slots[slot++] = bytes[p] as number
    }
    start = end
  }
  if (longCount > 0) {
    const texts = bytes.subarray(base, start)
    pointToLong(vector, long, longCount, texts, words)
  }
  copy(vector, slots, 0, (to - from) * stringBytes)
}

function fillStrings(
  vector: duckdb.Vector,
  values: readonly (string | null)[],
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const { bytes, validity, long } = scratch
  const rows = to - from
  let hasNulls = false
  let longCount = 0
  let textEnd = 0
  let previous: string | null = null
  let previousIsInline = false
  for (let row = 0; row < rows; row++) {
    const text = values[from + row] as string | null
    const slot = row * stringBytes
    if (text === null) {
      if (!hasNulls) validity.fill(0xffff_ffff)
      hasNulls = true
      markNull(validity, row)
      bytes.fill(0, slot, slot + stringBytes)
    } else if (text === previous && previousIsInline) {
      bytes.copyWithin(slot, slot - stringBytes, slot)
    } else {
      previousIsInline = text.length <= inlineBytesMax && encodeInline(text, bytes, slot)
      if (!previousIsInline) {
        long[longCount++] = row
        long[longCount++] = textEnd
        textEnd = encodeLong(text, textEnd, scratch)
        long[longCount++] = textEnd
      }
    }
    previous = text
  }
  if (longCount > 0) {
    pointToLong(vector, long, longCount, scratch.text.subarray(0, textEnd), scratch.words)
  }
  copy(vector, bytes, 0, rows * stringBytes)
  if (hasNulls) flushValidity(vector, validity)
}

/** Length, text, zeros up to 16 bytes: what DuckDB compares. False where it doesn't fit. */
function encodeInline(text: string, bytes: Uint8Array, slot: number): boolean {
  let at = slot + 4
  const limit = at + inlineBytesMax
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x80) {
      if (at >= limit) return false
      bytes[at++] = code
    } else if (code < 0x800) {
      if (at + 2 > limit) return false
      bytes[at++] = 0xc0 | (code >> 6)
      bytes[at++] = 0x80 | (code & 0x3f)
    } else {
      // Three bytes, surrogates: rare, left to the platform (a lone surrogate becomes U+FFFD).
      const rest = encoder.encodeInto(text.slice(i), bytes.subarray(at, limit))
      if (rest.read < text.length - i) return false
      at += rest.written
      break
    }
  }
  bytes[slot] = at - slot - 4
  bytes[slot + 1] = 0
  bytes[slot + 2] = 0
  bytes[slot + 3] = 0
  while (at < limit) bytes[at++] = 0
  return true
}

/** Gives the end of the text in `scratch.text`. */
function encodeLong(text: string, start: number, scratch: Scratch): number {
  const endMax = start + text.length * 3
  if (endMax > scratch.text.length) {
    const grown = new Uint8Array(Math.max(endMax, scratch.text.length * 2))
    grown.set(scratch.text.subarray(0, start))
    scratch.text = grown
  }
  return start + encoder.encodeInto(text, scratch.text.subarray(start)).written
}

/**
 * Long texts are not given one by one (a native call each: half of the time of an append), but all of a
 * chunk at once: assigned to the vector's first row as one text, which puts them on the vector's heap, whose
 * address then stands in that row's slot. Every slot is written anew after that: length, the first four
 * bytes, address of its own part.
 */
function pointToLong(
  vector: duckdb.Vector,
  long: Uint32Array,
  longCount: number,
  text: Uint8Array,
  words: Uint32Array,
): void {
  duckdb.vector_assign_string_element_len(vector, 0, text)
  const slot = duckdb.vector_get_data(vector, stringBytes)
  const [length, , low, high] = new Uint32Array(slot.buffer, slot.byteOffset, 4)
  assert(
    length === text.length && low !== undefined && high !== undefined,
    'the slot holds the text',
  )
  for (let i = 0; i < longCount; i += 3) {
    const start = long[i + 1] as number
    const word = (long[i] as number) * 4
    const address = low + start
    words[word] = (long[i + 2] as number) - start
    words[word + 1] =
      (text[start] as number) |
      ((text[start + 1] as number) << 8) |
      ((text[start + 2] as number) << 16) |
      ((text[start + 3] as number) << 24)
    words[word + 2] = address
    words[word + 3] = high + (address > 0xffff_ffff ? 1 : 0)
  }
}
