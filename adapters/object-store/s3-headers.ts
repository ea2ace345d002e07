/** The headers of S3 that need care: ETags, which stores spell in three ways, conditions and ranges. */

/** `ifMatch` an ETag as `etagOf` gives it, or only where nothing is there yet. */
export type S3Condition = { readonly ifMatch: string } | { readonly ifAbsent: true }
export type S3Range = { readonly byteOffset: number; readonly lengthBytes: number }

export function conditionHeaders(condition: S3Condition | null): {
  IfMatch?: string
  IfNoneMatch?: string
} {
  if (condition === null) return {}
  return 'ifMatch' in condition ? { IfMatch: quoted(condition.ifMatch) } : { IfNoneMatch: '*' }
}

/** Without quotes and weakness mark, so that spellings of different answers compare. */
export function etagOf(header: string | undefined): string {
  return (header ?? '').replace(/^W\//, '').replaceAll('"', '')
}

export function quoted(etag: string): string {
  return `"${etag}"`
}

export function rangeHeader({ byteOffset, lengthBytes }: S3Range): string {
  return `bytes=${byteOffset}-${byteOffset + lengthBytes - 1}`
}
