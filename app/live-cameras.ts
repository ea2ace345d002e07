/** Simulated cameras that feed the potok of this process over HTTP, as real ones would. */
import { createFleet } from '../ingest/simulator/fleet.ts'
import { createLiveFeed } from '../ingest/simulator/live-feed.ts'
import { describeError } from '../kernel/errors.ts'
import { createIntakeClient } from './commands/intake-client.ts'
import type { Embedded } from './embedded.ts'
import type { Installation } from './installation.ts'

/** 0 cameras: nothing to start, nothing to stop. */
export function startLiveCameras(
  installation: Installation,
  embedded: Embedded,
  cameras: number,
): { stop(): Promise<void> } {
  const url = embedded.url()
  if (cameras === 0 || url === null) return { stop: async () => undefined }
  const abort = new AbortController()
  const client = createIntakeClient({ baseUrl: url, signal: abort.signal })
  const feed = createLiveFeed({
    fleet: createFleet({ cameras }),
    send: (ndjson) => client.sendNdjson(ndjson),
    clock: installation.clock,
    signal: abort.signal,
  })
  const running = feed.run().catch((error: unknown) => {
    if (abort.signal.aborted) return
    installation.logger.error({ error: describeError(error) }, 'the simulated cameras stopped')
  })
  return {
    async stop() {
      abort.abort()
      await running
    },
  }
}
