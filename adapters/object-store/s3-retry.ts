/**
 * Repeats a request to an S3 store that failed for a passing reason, with growing waits and full jitter, so
 * that many clients don't come back in step. Only for what may be sent twice: reads, deletions, and writes of
 * objects that carry their writer's id. Never for a swap of the root.
 */
import { isS3Failure } from './s3-failure.ts'

export type S3Retry = <T>(run: () => Promise<T>) => Promise<T>

export type S3RetryOptions = {
  readonly attemptsMax?: number
  readonly sleep: (ms: number) => Promise<void>
  readonly random: () => number
  readonly nowMs: () => number
}

const attemptsMaxDefault = 6
const waitMsFirst = 50
const waitMsMax = 4_000
/** No further attempt begins after this: whoever waits has given up. */
const totalMsMax = 60_000

export function createS3Retry(options: S3RetryOptions): S3Retry {
  const attemptsMax = options.attemptsMax ?? attemptsMaxDefault
  return async (run) => {
    const endMs = options.nowMs() + totalMsMax
    for (let attempt = 1; ; attempt++) {
      try {
        return await run()
      } catch (error) {
        const isWorthIt = isS3Failure(error) && error.isPassing && attempt < attemptsMax
        if (!isWorthIt || options.nowMs() > endMs) throw error
      }
      await options.sleep(options.random() * Math.min(waitMsMax, waitMsFirst * 2 ** attempt))
    }
  }
}
