/**
 * Decompression of record batches: gzip and zstd by Node, snappy (raw, and in the frames of Java's producer) and lz4
 * by @platformatic/kafka.
 *
 * A batch is at most `max.message.bytes` on the wire; what it may become in memory is limited here where the
 * algorithm lets us, since a foreign producer can make megabytes of kilobytes.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { compressionsAlgorithms } from '@platformatic/kafka'
import { compression } from './kafka-encode-batch.ts'

const bytesMax = 512 * 1_024 * 1_024

/** `code` as in the attributes of a batch. Throws whatever the algorithm throws. */
export function decompressRecords(code: number, bytes: Buffer): Buffer {
  switch (code) {
    case compression.gzip:
      return gunzipSync(bytes, { maxOutputLength: bytesMax })
    case compression.snappy:
      return compressionsAlgorithms.snappy.decompressSync(bytes)
    case compression.lz4:
      return compressionsAlgorithms.lz4.decompressSync(bytes)
    case compression.zstd:
      return zstdDecompressSync(bytes, { maxOutputLength: bytesMax })
    default:
      throw new Error(`compression ${code} is unknown`)
  }
}
