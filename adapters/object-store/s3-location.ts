/**
 * Between locations (`s3://bucket/key`) and buckets and keys. `s3a:` and `s3n:`, as Hadoop's readers write
 * them, are the same. Keys stay as they are: nothing is percent-decoded, and no slashes are folded.
 */
import { PotokError } from '../../kernel/errors.ts'

export type S3Place = { readonly bucket: string; readonly key: string }

/** S3's own limit, in bytes of UTF-8. */
const keyBytesMax = 1_024

export function placeOfLocation(location: string): S3Place {
  const match = /^s3[an]?:\/\/([A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9])\/(.*)$/s.exec(location)
  if (match === null) throw invalid(location, 'write s3://bucket/key')
  const [, bucket, key] = match as unknown as [string, string, string]
  if (Buffer.byteLength(key) > keyBytesMax) throw invalid(location, 'its key is too long')
  if (key.split('/').some((segment) => segment === '.' || segment === '..')) {
    throw invalid(location, 'it holds . or .. as a segment')
  }
  return { bucket, key }
}

export function locationOfPlace({ bucket, key }: S3Place): string {
  return `s3://${bucket}/${key}`
}

function invalid(location: string, why: string): PotokError {
  return new PotokError('InvalidInput', `not a location in an S3 store: ${location}: ${why}`, {
    context: { location },
  })
}
