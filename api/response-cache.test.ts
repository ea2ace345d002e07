import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FakeTables } from '../testkit/fake-tables.ts'
import { silentLogger } from '../testkit/dashboard-server.ts'
import { tableProperties } from '../kernel/tables.ts'
import { dayOfUs, usPer5Minutes, usPerDay, usPerHour } from '../kernel/time.ts'
import type { Range } from './contract/time-parameters.ts'
import { windowBoundaries } from './read-model/local-windows.ts'
import { createReadModel } from './read-model/read-model.ts'
import { createResponseCache, type CachedAnswer } from './response-cache.ts'
import { answerTo } from './routes/speeds.ts'

const dayUs = Date.UTC(2025, 3, 3) * 1_000
const ranges: readonly Range[] = (['5m', '1h', '24h'] as const).map((interval) => ({
  fromUs: dayUs,
  toUs: dayUs + 2 * usPerDay,
  interval,
  zone: 'UTC',
}))

const window = fc.integer({ min: 0, max: 575 })
const camera = fc.constantFrom('A', 'B')
const change = fc.oneof(
  fc.record({ kind: fc.constant('append' as const), camera, window }),
  fc.record({ kind: fc.constant('late' as const), camera, window }),
  fc.record({ kind: fc.constant('watermark' as const), window }),
  fc.record({
    kind: fc.constant('exact' as const),
    window,
    revision: fc.integer({ min: 1, max: 3 }),
  }),
)

describe('the cache of answers', () => {
  it('never gives another text than rendering anew would, whatever is committed', async () => {
    const property = fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
      const tables = new FakeTables()
      tables.nowMs = dayUs / 1_000
      const model = createReadModel(
        {
          catalog: tables.catalog,
          scanner: tables.scanner,
          parquetReader: tables.reader,
          clock: { nowMs: () => tables.nowMs },
          logger: silentLogger,
        },
        {
          cubeCacheBytesMax: 1e7,
          allowedLatenessUs: 3 * usPerHour,
          pollMs: 100,
          logPartitionCount: 1,
        },
      )
      const responses = createResponseCache(1e7)
      for (const each of changes) {
        tables.nowMs += 1_000
        const startUs = dayUs + each.window * usPer5Minutes
        if (each.kind === 'append') {
          tables.appendRollup([{ camera: each.camera, startUs, speedsKmh: [50] }])
        } else if (each.kind === 'late') {
          tables.appendEvents(startUs, [each.camera])
        } else if (each.kind === 'watermark') {
          tables.setPositions([{ nextOffset: 1, eventTimeUsMax: startUs + 3 * usPerHour }])
        } else {
          const { revision } = each
          const row = { camera: 'A', startUs, speedsKmh: [60], revision }
          tables.replaceRollupDays([dayOfUs(startUs)], [row], {
            [tableProperties.sealedUntil]: String(startUs + usPer5Minutes),
          })
        }
        await model.refresh()
        for (const range of ranges) {
          const cached = await ask('A', range, responses, model)
          const fresh = await ask('A', range, createResponseCache(0), model)
          expect(textOf(cached)).toBe(textOf(fresh))
          expect(cached.etag).toBe(fresh.etag)
          // Asked at once again, it is there.
          if (cached.afterAsOf.includes('start')) {
            expect(await ask('A', range, responses, model)).toBe(cached)
          }
        }
      }
    })
    await fc.assert(property, { numRuns: 60 })
  })

  it('holds no more bytes than it may, and lets the least recently used go', () => {
    const responses = createResponseCache(20_000)
    const finality = { watermarkUs: null, sealedUntilUs: null }
    const answer: CachedAnswer = {
      beforeAsOf: '{"as_of":"',
      afterAsOf: Buffer.alloc(1_000),
      stamp: ' 1',
      watermarks: { fromUs: Number.NEGATIVE_INFINITY, belowUs: 5 },
      etag: 'W/"x"',
    }
    for (let i = 0; i < 100; i++) {
      responses.set(`q${i}`, answer)
      responses.get('q0', ' 1', finality)
      expect(responses.stats.bytes).toBeLessThanOrEqual(20_000)
    }
    expect(responses.get('q0', ' 1', finality)).toBe(answer)
    expect(responses.get('q50', ' 1', finality)).toBeNull()
    expect(responses.get('q99', ' 2', finality)).toBeNull()
    expect(responses.get('q99', ' 1', { ...finality, watermarkUs: 5 })).toBeNull()
    expect(responses.get('q99', ' 1', { ...finality, watermarkUs: 4 })).toBe(answer)
    responses.set('large', { ...answer, afterAsOf: Buffer.alloc(10_000) })
    expect(responses.get('large', ' 1', finality)).toBeNull()
  })
})

async function ask(
  id: string,
  range: Range,
  responses: ReturnType<typeof createResponseCache>,
  model: ReturnType<typeof createReadModel>,
): Promise<CachedAnswer> {
  const boundaries = windowBoundaries(range.fromUs, range.toUs, range.interval, range.zone)
  const from = await model.slices(id, range.fromUs, boundaries.at(-1) as number)
  return answerTo(responses, id, range, boundaries, from)
}

function textOf({ beforeAsOf, afterAsOf }: CachedAnswer): string {
  return beforeAsOf + afterAsOf.toString()
}
