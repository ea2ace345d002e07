/**
 * Avro object container files in memory (Avro 1.11 specification, "Object Container Files"), framed here
 * around avsc's types: avsc itself offers containers as streams only, and a manifest is a few kilobytes that
 * are read and written whole.
 *
 * Invariants: bytes depend on content alone (the sync marker is a hash of it), so a plan can be replayed from
 * a seed. Whatever is malformed is DataCorrupt, never a partial result.
 * Not here: what the records mean, and codecs that Iceberg writers hardly use (snappy, bzip2, xz).
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw, zstdDecompress } from 'node:zlib'
import type { Type } from 'avsc'
import { PotokError } from '../../kernel/errors.ts'
import { readerTypeOf } from './avro-types.ts'

const deflateRawAsync = promisify(deflateRaw)
const inflateRawAsync = promisify(inflateRaw)
const zstdDecompressAsync = promisify(zstdDecompress)

const magic = Buffer.from([0x4f, 0x62, 0x6a, 0x01])
const syncBytes = 16
/** Uncompressed bytes in a block: big enough for deflate, small enough not to hold up the event loop. */
const blockBytesTarget = 64 * 1024
/** A block of a sane writer is a few MiB at most; this stops a bomb. */
const blockBytesMax = 256 * 1024 * 1024

export type AvroContainer = {
  /** File metadata other than `avro.*`. */
  readonly metadata: ReadonlyMap<string, string>
  /** The writer's schema as JSON. */
  readonly schema: unknown
  /** Records with canonical field names where `readerTypeOf` knows the field id. */
  readonly records: readonly unknown[]
}

export async function encodeAvroContainer(options: {
  /** What stands in the file: the schema with Iceberg's field ids. */
  readonly schemaText: string
  readonly type: Type
  readonly metadata: Readonly<Record<string, string>>
  readonly records: readonly unknown[]
}): Promise<Buffer> {
  const blocks: { count: number; bytes: Buffer }[] = []
  let block = Buffer.allocUnsafe(blockBytesTarget + 16 * 1024)
  let used = 0
  let count = 0
  const flush = async () => {
    if (count === 0) return
    blocks.push({ count, bytes: await deflateRawAsync(block.subarray(0, used)) })
    used = 0
    count = 0
  }
  for (const record of options.records) {
    let end = options.type.encode(record, block, used)
    if (end < 0) {
      // avsc says how many bytes are missing.
      const larger = Buffer.allocUnsafe(Math.max(block.length * 2, block.length - end))
      block.copy(larger, 0, 0, used)
      block = larger
      end = options.type.encode(record, block, used)
    }
    used = end
    count++
    if (used >= blockBytesTarget) await flush()
  }
  await flush()

  const header: Record<string, string> = {
    'avro.schema': options.schemaText,
    'avro.codec': 'deflate',
    ...options.metadata,
  }
  const headerParts: Buffer[] = [encodeLong(Object.keys(header).length)]
  for (const [key, value] of Object.entries(header)) {
    headerParts.push(lengthPrefixed(key), lengthPrefixed(value))
  }
  headerParts.push(encodeLong(0))
  const headerBytes = Buffer.concat(headerParts)

  const hash = createHash('md5').update(headerBytes)
  for (const { bytes } of blocks) hash.update(bytes)
  const sync = hash.digest()

  const parts: Buffer[] = [magic, headerBytes, sync]
  for (const { count: records, bytes } of blocks) {
    parts.push(encodeLong(records), encodeLong(bytes.length), bytes, sync)
  }
  return Buffer.concat(parts)
}

export async function decodeAvroContainer(
  bytes: Uint8Array,
  location: string,
): Promise<AvroContainer> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  try {
    return await decodeContainer(buffer)
  } catch (error) {
    if (error instanceof PotokError && error.kind === 'Unsupported') throw error
    throw new PotokError('DataCorrupt', `${location} is no readable Avro file`, {
      context: { location, sizeBytes: bytes.byteLength },
      cause: error,
    })
  }
}

async function decodeContainer(buffer: Buffer): Promise<AvroContainer> {
  if (buffer.length < magic.length || !buffer.subarray(0, 4).equals(magic)) {
    throw new Error('it does not begin with the Avro magic')
  }
  const cursor = { at: magic.length }
  const header = decodeHeader(buffer, cursor)
  const sync = take(buffer, cursor, syncBytes)
  const codec = header.get('avro.codec')?.toString() ?? 'null'
  const schemaText = header.get('avro.schema')?.toString()
  if (schemaText === undefined) throw new Error('it names no schema')
  const type = readerTypeOf(schemaText)

  const records: unknown[] = []
  while (cursor.at < buffer.length) {
    const count = decodeLong(buffer, cursor)
    const size = decodeLong(buffer, cursor)
    const block = await inflate(codec, take(buffer, cursor, size))
    if (!take(buffer, cursor, syncBytes).equals(sync)) throw new Error('a sync marker is wrong')
    let at = 0
    for (let i = 0; i < count; i++) {
      const { value, offset } = type.decode(block, at)
      if (offset < 0) throw new Error(`record ${i} of a block of ${count} ends too early`)
      records.push(value)
      at = offset
    }
    if (at !== block.length) throw new Error('bytes are left over in a block')
  }
  const metadata = new Map<string, string>()
  for (const [key, value] of header) {
    if (!key.startsWith('avro.')) metadata.set(key, value.toString())
  }
  return { metadata, schema: JSON.parse(schemaText), records }
}

async function inflate(codec: string, bytes: Buffer): Promise<Buffer> {
  switch (codec) {
    case 'null':
      return bytes
    case 'deflate':
      return inflateRawAsync(bytes, { maxOutputLength: blockBytesMax })
    case 'zstandard':
      return zstdDecompressAsync(bytes, { maxOutputLength: blockBytesMax })
    default:
      throw new PotokError('Unsupported', `Avro codec ${codec}: rewrite the manifests with gzip`, {
        context: { codec },
      })
  }
}

function decodeHeader(buffer: Buffer, cursor: { at: number }): Map<string, Buffer> {
  const header = new Map<string, Buffer>()
  for (;;) {
    let count = decodeLong(buffer, cursor)
    if (count === 0) return header
    if (count < 0) {
      // A negative count is followed by the block's size in bytes.
      decodeLong(buffer, cursor)
      count = -count
    }
    for (let i = 0; i < count; i++) {
      const key = take(buffer, cursor, decodeLong(buffer, cursor)).toString()
      header.set(key, take(buffer, cursor, decodeLong(buffer, cursor)))
    }
  }
}

function take(buffer: Buffer, cursor: { at: number }, length: number): Buffer {
  if (length < 0 || cursor.at + length > buffer.length) throw new Error('it ends too early')
  const part = buffer.subarray(cursor.at, cursor.at + length)
  cursor.at += length
  return part
}

/** Zigzag varint, for counts and sizes: safe integers. */
function decodeLong(buffer: Buffer, cursor: { at: number }): number {
  let value = 0
  let scale = 1
  for (let i = 0; i < 8; i++) {
    const byte = buffer[cursor.at++]
    if (byte === undefined) throw new Error('it ends too early')
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    scale *= 128
  }
  throw new Error('a length is out of range')
}

function encodeLong(value: number): Buffer {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  const bytes: number[] = []
  while (rest >= 128) {
    bytes.push((rest % 128) | 0x80)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
  return Buffer.from(bytes)
}

function lengthPrefixed(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([encodeLong(bytes.length), bytes])
}
