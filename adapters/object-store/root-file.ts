/**
 * The catalog's root as bytes in a store, local or S3: a line in front says format, a mark of the store's own,
 * length and SHA-256. So a torn one is never taken for the root, and one of a later potok is refused by name.
 */
import { createHash } from 'node:crypto'
import { PotokError } from '../../kernel/errors.ts'

/** `mark` is `name=value` without blanks: the generation, or an id that no other root ever had. */
export function encodeRootFile(bytes: Uint8Array, mark: string): Uint8Array {
  const head = `potok-root 1 ${mark} bytes=${bytes.length} sha256=${sha256Of(bytes)}\n`
  return Buffer.concat([Buffer.from(head), bytes])
}

/** `place` is for errors: a path or location. */
export function decodeRootFile(
  file: Uint8Array,
  place: string,
): { bytes: Uint8Array; mark: string } {
  const lineEnd = file.indexOf(0x0a)
  const head = lineEnd === -1 ? '' : Buffer.from(file.subarray(0, lineEnd)).toString('latin1')
  const match = /^potok-root (\d+) (\w+=\S+) bytes=(\d+) sha256=([0-9a-f]{64})$/.exec(head)
  if (match !== null && match[1] !== '1') {
    throw new PotokError(
      'Unsupported',
      `${place} was written by a newer potok (root format ${match[1]}); this one reads format 1`,
    )
  }
  const bytes = file.subarray(lineEnd + 1)
  const isWhole =
    match !== null && Number(match[3]) === bytes.length && sha256Of(bytes) === match[4]
  if (!isWhole) throw tornRoot(place, file.length)
  return { bytes, mark: match[2] as string }
}

export function tornRoot(place: string, sizeBytes: number): PotokError {
  return new PotokError(
    'DataCorrupt',
    `the catalog's root object ${place} is torn or was changed by hand`,
    { context: { location: place, sizeBytes } },
  )
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
