/** The swap rules as a whole: the root in a store that fails as scripted, under the client that searches the history. */
import { assert, asyncProperty, infiniteStream, nat } from 'fast-check'
import { expect, it } from 'vitest'
import { createGenerationWatch } from '../../catalog/generation-watch.ts'
import { createRootClient, type RootClient } from '../../catalog/root-client.ts'
import { decodeRootState, nextRootState } from '../../catalog/root-state.ts'
import { type S3Fault, startScriptedS3 } from '../../testkit/scripted-s3.ts'
import { createMemoryObjectStore } from './memory-object-store.ts'
import { createS3Api } from './s3-api.ts'
import { createS3RootObject } from './s3-root-object.ts'

const location = 's3://lake/.catalog/root'
const clientCount = 3
const swapsEach = 6

/** Of a write of the root; everything else fails now and then with half a body or a busy store. */
const faults: readonly (S3Fault | null)[] = [
  null,
  null,
  null,
  'cut-before',
  'cut-after',
  'delayed',
  { status: 409, code: 'ConditionalRequestConflict' },
  { status: 409, code: 'ConditionalRequestConflict', isDone: true },
  { status: 503, code: 'SlowDown' },
  { status: 500, isDone: true },
  { status: 429, code: 'TooManyRequests', isDone: true },
]

type Claim = { swapId: string; outcome: 'won' | 'lost' | 'unknown' | 'refused' }

/** Reads the root and swaps it, again where others were faster, and notes what it was told each time. */
async function work(client: RootClient, name: string, claims: Claim[]): Promise<void> {
  for (let i = 0; i < swapsEach; i++) {
    const swapId = `${name}-${i}`
    try {
      const base = await client.current()
      const { idempotency, entries, pages, retiredPages } = base.state
      const common = { updatedMs: 0, idempotency, entries, pages, retiredPages }
      const result = await client.swap(base, nextRootState(base.state, { ...common, swapId }))
      claims.push({ swapId, outcome: result.outcome })
    } catch {
      claims.push({ swapId, outcome: 'refused' })
    }
  }
}

it('says won of what is in the history, lost of what is not, and unknown of nothing else but lost answers', async () => {
  const counts = { won: 0, lost: 0, unknown: 0, refused: 0 }
  await assert(
    asyncProperty(infiniteStream(nat({ max: 1_000_000 })), async (choices) => {
      const choose = (n: number): number => (choices.next().value as number) % n
      const store = await startScriptedS3()
      const claims: Claim[] = []
      const apis = Array.from({ length: clientCount }, () => createS3Api(store.options))
      const clients = apis.map((api) => {
        const sleep = async (): Promise<void> => {
          // While somebody waits, a write under way for long may land.
          if (choose(3) === 0) store.deliver()
        }
        return createRootClient({
          root: createS3RootObject({ api, location, sleep, random: () => 0 }),
          store: createMemoryObjectStore(),
          watch: createGenerationWatch({ memories: [], nowMs: () => 0, logger: undefined }),
          warehouse: 's3://lake',
          nowMs: () => 0,
          newId: () => `first-${choose(1_000_000)}`,
          sleep,
        })
      })
      await clients[0]?.current()
      store.fault = ({ operation }) => {
        if (operation === 'put') return faults[choose(faults.length)] ?? null
        if (operation === 'get' && choose(6) === 0) return 'half'
        return choose(12) === 0 ? { status: 503, code: 'SlowDown' } : null
      }
      await Promise.all(clients.map((client, i) => work(client, `client-${i}`, claims)))
      store.deliver()
      await Promise.all(apis.map((api) => api.close()))
      await store.close()

      const states = store.stored.map(({ bytes }) =>
        decodeRootState(bytes.subarray(bytes.indexOf(0x0a) + 1)),
      )
      // One line of history: each state is built on the one before it.
      states.forEach((state, i) => {
        expect(state.generation).toBe(i + 1)
        expect(state.swapIds.slice(0, -1)).toEqual(states[i - 1]?.swapIds ?? [])
      })
      const history = states.at(-1)?.swapIds ?? []
      for (const { swapId, outcome } of claims) {
        counts[outcome]++
        const times = history.filter((id) => id === swapId).length
        if (outcome === 'won') expect(times).toBe(1)
        if (outcome === 'lost' || outcome === 'refused') expect(times).toBe(0)
      }
    }),
    // Requests cross as they like, so a failing run can't be shrunk.
    { numRuns: Number(process.env['POTOK_TEST_ROOT_RUNS'] ?? 6), endOnFailure: true },
  )
  // The script does something, and most of it is found out.
  expect(counts.won).toBeGreaterThan(counts.unknown)
  expect(counts.lost).toBeGreaterThan(0)
})
