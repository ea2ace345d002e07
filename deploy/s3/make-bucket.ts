/**
 * Makes the bucket of POTOK_WAREHOUSE where it is missing: a set-up step of docker compose, run once before the
 * roles, with their own variables. It changes nothing of a bucket that is there, and it is no part of potok,
 * which never makes buckets: whoever may write tables need not be allowed that.
 */
import { createS3Client } from '../../adapters/object-store/s3-client.ts'
import { isS3Warehouse, readSettings, warehouseLocation } from '../../app/settings.ts'

const settings = readSettings({}, process.env)
if (!isS3Warehouse(settings)) throw new Error('POTOK_WAREHOUSE is no s3://bucket/prefix')
const [Bucket] = warehouseLocation(settings).slice('s3://'.length).split('/') as [string]

const client = createS3Client({
  endpoint: settings.s3Endpoint,
  region: settings.s3Region,
  pathStyle: settings.s3PathStyle === 'auto' ? null : settings.s3PathStyle === 'on',
  accessKeyId: settings.s3AccessKeyId,
  secretAccessKey: settings.s3SecretAccessKey,
  caFile: settings.s3CaFile,
})
const isThere = await client.attempt(0, async ({ sdk, client: s3 }, abortSignal) => {
  const send = async (command: InstanceType<typeof sdk.HeadBucketCommand>): Promise<boolean> => {
    try {
      await s3.send(command, { abortSignal })
      return true
    } catch (error) {
      if (error instanceof sdk.NotFound) return false
      throw error
    }
  }
  if (await send(new sdk.HeadBucketCommand({ Bucket }))) return true
  await s3.send(new sdk.CreateBucketCommand({ Bucket }), { abortSignal })
  return false
})
console.log(`bucket ${Bucket} ${isThere ? 'is there' : 'was made'}`)
await client.close()
