/** The requests of an upload in parts, each sent once. */
import type { S3Attempt } from './s3-client.ts'
import { S3Failure } from './s3-failure.ts'
import { conditionHeaders, etagOf, quoted, type S3Condition } from './s3-headers.ts'
import type { S3Place } from './s3-location.ts'

export type S3Part = { readonly partNumber: number; readonly etag: string }

export function uploadRequests(attempt: S3Attempt) {
  return {
    async startUpload(
      { bucket, key }: S3Place,
      metadata: Readonly<Record<string, string>>,
    ): Promise<string> {
      return await attempt(0, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.CreateMultipartUploadCommand({
          Bucket: bucket,
          Key: key,
          ContentType: 'application/octet-stream',
          Metadata: metadata,
        })
        const { UploadId } = await client.send(command, { abortSignal })
        if (UploadId === undefined) throw new S3Failure('lost', 'the answer names no upload')
        return UploadId
      })
    },

    async uploadPart(
      { bucket, key }: S3Place,
      uploadId: string,
      partNumber: number,
      bytes: Uint8Array,
    ): Promise<S3Part> {
      return await attempt(bytes.length, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.UploadPartCommand({
          Bucket: bucket,
          Key: key,
          UploadId: uploadId,
          PartNumber: partNumber,
          Body: bytes,
          ContentLength: bytes.length,
        })
        return { partNumber, etag: etagOf((await client.send(command, { abortSignal })).ETag) }
      })
    },

    async completeUpload(
      { bucket, key }: S3Place,
      uploadId: string,
      parts: readonly S3Part[],
      sizeBytes: number,
      condition: S3Condition | null,
    ): Promise<void> {
      // Stores may put the parts together before they answer.
      await attempt(sizeBytes, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.CompleteMultipartUploadCommand({
          Bucket: bucket,
          Key: key,
          UploadId: uploadId,
          MultipartUpload: {
            Parts: parts.map(({ partNumber, etag }) => ({
              PartNumber: partNumber,
              ETag: quoted(etag),
            })),
          },
          ...conditionHeaders(condition),
        })
        await client.send(command, { abortSignal })
      })
    },

    async abortUpload({ bucket, key }: S3Place, uploadId: string): Promise<void> {
      await attempt(0, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.AbortMultipartUploadCommand({
          Bucket: bucket,
          Key: key,
          UploadId: uploadId,
        })
        await client.send(command, { abortSignal })
      })
    },

    /** Uploads that were begun and neither completed nor aborted; the first thousand. */
    async listUploads(
      bucket: string,
      prefix: string,
    ): Promise<{ key: string; uploadId: string; startedMs: number }[]> {
      return await attempt(0, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix })
        const { Uploads } = await client.send(command, { abortSignal })
        return (Uploads ?? []).flatMap(({ Key, UploadId, Initiated }) =>
          Key === undefined || UploadId === undefined || Initiated === undefined
            ? []
            : [{ key: Key, uploadId: UploadId, startedMs: Initiated.getTime() }],
        )
      })
    },
  }
}
