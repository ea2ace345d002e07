/**
 * Table metadata as the bytes of its file and of answers. A table of ten thousand snapshots is six megabytes, of
 * which a commit changes one snapshot: so its history is encoded in pieces, which are kept and used again.
 *
 * A piece ends behind a snapshot whose id says so, not after so many: it stays the same whatever is added
 * behind it or expired in front of it.
 */
import type { Snapshot, TableMetadata } from '../spec/table-metadata.ts'
import { stringifyJson } from './lossless-json.ts'
import { encodeLogEntry, encodeTableMetadata } from './metadata-json.ts'
import { encodeSnapshot } from './snapshot-json.ts'

type LogEntry = TableMetadata['snapshotLog'][number]
type Piece<T> = { readonly items: readonly T[]; readonly bytes: Buffer }
/** By the piece's first item; kept as long as that. */
type Pieces<T extends object> = WeakMap<T, Piece<T>>

/** Of so many random ids one ends a piece. */
const itemsPerPiece = 128n
/** Ids that are not random: a piece ends here at the latest. */
const itemsPerPieceMax = 1_024

const snapshotPieces: Pieces<Snapshot> = new WeakMap()
const logPieces: Pieces<LogEntry> = new WeakMap()
/** One swap answers many clients, and its file is the same bytes. Kept as long as the metadata itself. */
const bytesOfMetadata = new WeakMap<TableMetadata, Uint8Array>()

export function tableMetadataBytes(metadata: TableMetadata): Uint8Array {
  const known = bytesOfMetadata.get(metadata)
  if (known !== undefined) return known
  const head = stringifyJson(encodeTableMetadata(metadata, { withHistory: false }))
  const bytes = Buffer.concat([
    Buffer.from(`${head.slice(0, -1)},"snapshots":[`),
    ...piecesOf(metadata.snapshots, snapshotPieces, encodeSnapshot),
    Buffer.from('],"snapshot-log":['),
    ...piecesOf(metadata.snapshotLog, logPieces, encodeLogEntry),
    Buffer.from(']}'),
  ])
  bytesOfMetadata.set(metadata, bytes)
  return bytes
}

const comma = Buffer.from(',')

function piecesOf<T extends Snapshot | LogEntry>(
  items: readonly T[],
  pieces: Pieces<T>,
  encode: (item: T) => unknown,
): Buffer[] {
  const result: Buffer[] = []
  for (let start = 0; start < items.length; ) {
    if (start > 0) result.push(comma)
    const first = items[start] as T
    let piece = pieces.get(first)
    const begin = start
    if (piece?.items.every((item, i) => item === items[begin + i]) !== true) {
      const end = endOfPiece(items, start)
      const own = items.slice(start, end)
      const text = own.map((item) => stringifyJson(encode(item))).join(',')
      piece = { items: own, bytes: Buffer.from(text) }
      // The last one still grows.
      if (end < items.length) pieces.set(first, piece)
    }
    result.push(piece.bytes)
    start += piece.items.length
  }
  return result
}

function endOfPiece(items: readonly (Snapshot | LogEntry)[], start: number): number {
  const latest = Math.min(items.length, start + itemsPerPieceMax)
  for (let i = start; i < latest; i++) {
    if ((items[i] as Snapshot | LogEntry).snapshotId % itemsPerPiece === 0n) return i + 1
  }
  return latest
}
