/**
 * A process of its own that adds to the number in a root object of an S3 store, so many times, and says how
 * many additions it was told of. For the race between processes.
 */
import { createS3Api } from '../adapters/object-store/s3-api.ts'
import type { S3Options } from '../adapters/object-store/s3-client.ts'
import { createS3RootObject } from '../adapters/object-store/s3-root-object.ts'

const [optionsText = '', location = '', times = ''] = process.argv.slice(2)
const api = createS3Api(JSON.parse(optionsText) as S3Options)
const root = createS3RootObject({ api, location })
let lost = 0
for (let done = 0; done < Number(times); ) {
  const found = await root.read()
  const value = found === null ? 0 : Number(Buffer.from(found.bytes).toString())
  const result = await root.swap(found?.version ?? null, Buffer.from(String(value + 1)))
  if (result.won) done++
  else lost++
}
process.stdout.write(JSON.stringify({ lost }))
await api.close()
