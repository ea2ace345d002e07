/**
 * The rules of a client of conditional writes (DESIGN §6), one after another and in any mix, seen from the
 * catalog: what a commit is reported as, what the history of the root says, and which files are left.
 */
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TableCommit } from '../iceberg/catalog.ts'
import { isPotokError } from '../kernel/errors.ts'
import { testSchema } from '../testkit/contracts/catalog.ts'
import { randomIds, systemClock } from '../testkit/fixed-ports.ts'
import type { S3Fault } from '../testkit/scripted-s3.ts'
import {
  rootKey,
  type ScriptedWarehouse,
  startScriptedWarehouse,
} from '../testkit/scripted-warehouse.ts'
import type { CatalogService } from './catalog-service.ts'
import { tableKey } from './names.ts'
import { createCatalogRepair } from './repair.ts'
import { decodeRootState, encodeRootState } from './root-state.ts'

const namespace = ['ns']
const t = { namespace, name: 't' }
const conflict: S3Fault = { status: 409, code: 'ConditionalRequestConflict' }
const preconditionFailed = { status: 412, code: 'PreconditionFailed' }
const busy: S3Fault = { status: 503, code: 'SlowDown' }

function setProperty(catalog: CatalogService, key: string, value = '1') {
  const updates = [{ action: 'set-properties' as const, updates: { [key]: value } }]
  return catalog.commit([{ identifier: t, requirements: [], updates }])
}

async function prepared(warehouse: ScriptedWarehouse): Promise<CatalogService> {
  const catalog = warehouse.connect({ requestTimeoutMs: 400 })
  await catalog.createNamespace(namespace)
  await catalog.createTable({ identifier: t, schema: testSchema })
  return catalog
}

/** In how many states of the root the property came to be. */
function timesAdded(warehouse: ScriptedWarehouse, key: string): number {
  let times = 0
  let before = false
  for (const state of warehouse.history()) {
    const isIn = warehouse.propertiesIn(state, tableKey(t))?.[key] !== undefined
    if (isIn && !before) times++
    before = isIn
  }
  return times
}

describe('a commit', () => {
  let warehouse: ScriptedWarehouse
  let catalog: CatalogService
  beforeEach(async () => {
    warehouse = await startScriptedWarehouse()
    catalog = await prepared(warehouse)
  })
  afterEach(() => warehouse.close())

  /** Faults of the next writes of the root, in order, and of all reads of it while `reads` says so. */
  function script(writes: (S3Fault | null)[], reads: () => S3Fault | null = () => null): void {
    warehouse.s3.fault = ({ operation, key }) => {
      if (key !== rootKey) return null
      return operation === 'put' ? (writes.shift() ?? null) : reads()
    }
  }

  it.each<[string, (S3Fault | null)[]]>([
    ['the answer is lost after the write', ['cut-after']],
    ['the request is lost', ['cut-before']],
    ['requests are lost again and again', ['cut-before', 'cut-before', 'cut-before']],
    ['no answer comes in time', ['silent']],
    [
      'the store says 412 of our own write, which a proxy had sent twice',
      [{ ...preconditionFailed, isDone: true }],
    ],
    ['the store says 409', [conflict, conflict]],
    [
      'the store says 409 and writes all the same',
      [{ status: 409, code: 'OperationAborted', isDone: true }],
    ],
    ['the store says 429', [{ status: 429, code: 'TooManyRequests' }]],
    ['the store says 503', [busy, busy]],
    ['the store says 500 and writes all the same', [{ status: 500, isDone: true }]],
  ])('is done once where %s', async (_what, writes) => {
    script(writes)
    await setProperty(catalog, 'a')
    expect(timesAdded(warehouse, 'a')).toBe(1)
    await setProperty(warehouse.connect(), 'b')
    expect((await catalog.loadTable(t)).metadata.properties).toMatchObject({ a: '1', b: '1' })
  })

  it('is done once where half a body of the root comes, and where reads fail for a while', async () => {
    const faults: S3Fault[] = ['half', busy, 'cut-before', 'half']
    script(['cut-after'], () => faults.shift() ?? null)
    await setProperty(catalog, 'a')
    expect(timesAdded(warehouse, 'a')).toBe(1)
    expect(faults).toEqual([])
  })

  it('is done on top of a rival, and its delayed write can not land any more', async () => {
    const rival = warehouse.connect()
    let isFirst = true
    warehouse.s3.fault = ({ operation, key }) => {
      if (operation !== 'put' || key !== rootKey || !isFirst) return null
      isFirst = false
      return 'delayed'
    }
    const done = setProperty(catalog, 'a')
    await setProperty(rival, 'rival')
    await done
    expect(warehouse.s3.deliver()).toBe(0)
    expect(timesAdded(warehouse, 'a')).toBe(1)
    expect(timesAdded(warehouse, 'rival')).toBe(1)
  })

  it('that can not be found out is unknown, deletes nothing, and may land later', async () => {
    let isCut = false
    warehouse.s3.fault = ({ operation, key }) => {
      if (key !== rootKey) return null
      if (operation === 'put') isCut = true
      return operation === 'put' ? 'delayed' : isCut ? busy : null
    }
    const before = warehouse.metadataFiles().length
    await expect(setProperty(catalog, 'a')).rejects.toMatchObject({ kind: 'CommitStateUnknown' })
    expect(warehouse.metadataFiles()).toHaveLength(before + 1)
    warehouse.s3.fault = () => null
    expect(timesAdded(warehouse, 'a')).toBe(0)
    expect(warehouse.s3.deliver()).toBe(1)
    expect((await catalog.loadTable(t)).metadata.properties['a']).toBe('1')
    await setProperty(catalog, 'b')
    expect(timesAdded(warehouse, 'a')).toBe(1)
  })

  it('on a base older than the swaps that are remembered is unknown, and deletes nothing', async () => {
    warehouse.s3.fault = ({ operation, key }) => {
      const root = warehouse.s3.objects.get(rootKey)
      if (operation !== 'put' || key !== rootKey || root === undefined) return null
      warehouse.s3.fault = () => null
      const lineEnd = root.bytes.indexOf(0x0a) + 1
      const state = decodeRootState(root.bytes.subarray(lineEnd))
      const content = encodeRootState({
        ...state,
        generation: state.generation + 2_000,
        swapId: 'later',
        swapIds: Array.from({ length: 999 }, (_, i) => `x${i}`).concat('later'),
      })
      root.bytes = withHead(root.bytes.toString('utf8', 0, lineEnd), content)
      return null
    }
    const before = warehouse.metadataFiles().length
    await expect(setProperty(catalog, 'a')).rejects.toMatchObject({ kind: 'CommitStateUnknown' })
    expect(warehouse.metadataFiles()).toHaveLength(before + 1)
  })

  it('of what was there before is another one: a delayed write never comes back', async () => {
    await setProperty(catalog, 'x', '1')
    script(['delayed'])
    await setProperty(catalog, 'x', '2')
    await setProperty(catalog, 'x', '1')
    await setProperty(catalog, 'x', '2')
    await setProperty(catalog, 'x', '1')
    expect(warehouse.s3.deliver()).toBe(0)
    expect((await warehouse.connect().loadTable(t)).metadata.properties['x']).toBe('1')
  })

  it('stops where the root was deleted, and nobody makes it anew', async () => {
    warehouse.s3.fault = ({ operation, key }) => {
      if (operation === 'put' && key === rootKey) warehouse.s3.objects.delete(rootKey)
      return null
    }
    const refusal = expect(setProperty(catalog, 'a')).rejects
    await refusal.toMatchObject({ kind: 'DataCorrupt' })
    await expect(setProperty(catalog, 'b')).rejects.toMatchObject({ kind: 'DataCorrupt' })
    const fresh = warehouse.connect()
    await expect(fresh.createNamespace(['n'])).rejects.toThrow(/root object is missing/)
    expect(warehouse.s3.objects.has(rootKey)).toBe(false)
  })

  it('is there again when a root that was deleted has been repaired', async () => {
    await setProperty(catalog, 'a')
    warehouse.s3.objects.delete(rootKey)
    const repair = createCatalogRepair({
      ...warehouse.open(),
      clock: systemClock,
      ids: randomIds,
      warehouseLocation: warehouse.location,
      allowedLocations: [],
      generationMemory: {
        place: 'nowhere',
        isInWarehouse: false,
        recall: async () => [],
        remember: async () => undefined,
      },
    })
    const choices = { exclude: new Set<string>(), include: new Set<string>(), names: new Map() }
    await repair.apply(await repair.inspect(choices))
    const fresh = warehouse.connect()
    expect((await fresh.loadTable(t)).metadata.properties['a']).toBe('1')
    await setProperty(fresh, 'b')
    // Nor does a server that saw the old one take the new one for an old copy.
    expect((await catalog.loadTable(t)).metadata.properties['b']).toBe('1')
  })
})

function withHead(head: string, content: Uint8Array): Buffer {
  const sha256 = createHash('sha256').update(content).digest('hex')
  const line = head.replace(/bytes=\d+ sha256=\w+/, `bytes=${content.length} sha256=${sha256}`)
  return Buffer.concat([Buffer.from(line), content])
}

const rootFaults: readonly (S3Fault | null)[] = [
  null,
  null,
  null,
  'cut-before',
  'cut-after',
  'delayed',
  conflict,
  { status: 409, code: 'ConditionalRequestConflict', isDone: true },
  { ...preconditionFailed, isDone: true },
  busy,
  { status: 500, isDone: true },
  { status: 429, code: 'TooManyRequests' },
]
const fileFaults: readonly S3Fault[] = [
  'cut-before',
  'cut-after',
  busy,
  { status: 500, isDone: true },
]
const serverCount = 3
const commitsEach = 6
const keyedTriesMax = 6

type Claim = { key: string; outcome: 'done' | 'unknown' | 'refused' }

/**
 * Commits one after another: a plain one, one for a property that rivals want, too, and one that carries an
 * idempotency key and is sent again, to the next server, until the answer is final.
 */
async function work(
  servers: readonly CatalogService[],
  own: number,
  claims: Claim[],
): Promise<void> {
  for (let i = 0; i < commitsEach; i++) {
    const key = `s${own}-${i}`
    const round = `round-${i}`
    const isContended = i % 3 === 1
    const request: TableCommit = {
      identifier: t,
      requirements: isContended ? [{ type: 'assert-property', key: round, value: null }] : [],
      updates: [
        {
          action: 'set-properties',
          updates: { [key]: '1', ...(isContended ? { [round]: key } : {}) },
        },
      ],
    }
    let outcome: Claim['outcome'] = 'unknown'
    const tries = i % 3 === 2 ? keyedTriesMax : 1
    for (let attempt = 0; attempt < tries && outcome === 'unknown'; attempt++) {
      const server = servers[(own + attempt) % servers.length] as CatalogService
      const catalog = tries === 1 ? server : server.keyed({ key, fingerprint: key })
      outcome = await outcomeOf(() => catalog.commit([request]), attempt > 0)
    }
    claims.push({ key, outcome })
  }
}

/** What is refused for a passing reason says nothing of tries before it. */
async function outcomeOf(
  run: () => Promise<unknown>,
  isRepeated: boolean,
): Promise<Claim['outcome']> {
  try {
    await run()
    return 'done'
  } catch (error) {
    if (isPotokError(error, 'CommitStateUnknown')) return 'unknown'
    return isRepeated && !isPotokError(error, 'CommitConflict') ? 'unknown' : 'refused'
  }
}

/** No state of the root is left out, and each is built on the one before it. */
function expectOneLine(warehouse: ScriptedWarehouse): void {
  const states = warehouse.history()
  states.forEach((state, i) => {
    expect(state.generation).toBe(i + 1)
    expect(state.swapIds.slice(0, -1)).toEqual(states[i - 1]?.swapIds ?? [])
  })
}

function expectClaimsHold(warehouse: ScriptedWarehouse, claims: readonly Claim[]): void {
  for (const { key, outcome } of claims) {
    const times = timesAdded(warehouse, key)
    if (outcome === 'done') expect([key, times]).toEqual([key, 1])
    if (outcome === 'refused') expect([key, times]).toEqual([key, 0])
    if (outcome !== 'unknown') continue
    expect(times).toBeLessThanOrEqual(1)
    // Its file stays, whether the swap is in, out, or still on its way.
    const files = warehouse.s3.stored.filter(
      (one) => one.key.endsWith('.metadata.json') && one.bytes.includes(`"${key}"`),
    )
    const last = files.at(-1)
    if (last !== undefined) expect(warehouse.s3.objects.has(last.key)).toBe(true)
  }
}

const longFormMsMax = 900_000

describe('any mix of faults over several servers', () => {
  it(
    'keeps each commit reported as done once, none reported as failed, and every file that is referred to',
    async () => {
      const counts = { done: 0, unknown: 0, refused: 0 }
      await fc.assert(
        fc.asyncProperty(fc.infiniteStream(fc.nat({ max: 1_000_000 })), async (choices) => {
          const choose = (n: number): number => (choices.next().value as number) % n
          const warehouse = await startScriptedWarehouse()
          try {
            await prepared(warehouse)
            const sleep = async (): Promise<void> => {
              if (choose(3) === 0) warehouse.s3.deliver()
            }
            const servers = Array.from({ length: serverCount }, () => warehouse.connect({ sleep }))
            warehouse.s3.fault = ({ operation, key }) => {
              if (key === rootKey && operation === 'put') {
                return rootFaults[choose(rootFaults.length)] ?? null
              }
              if (operation === 'get' && choose(8) === 0) return 'half'
              if (choose(8) > 0) return null
              return fileFaults[choose(fileFaults.length)] ?? null
            }
            const claims: Claim[] = []
            await Promise.all(servers.map((_, i) => work(servers, i, claims)))
            warehouse.s3.fault = () => null
            warehouse.s3.deliver()
            for (const { outcome } of claims) counts[outcome]++

            expectOneLine(warehouse)
            expectClaimsHold(warehouse, claims)
            const { metadata, metadataLocation } = await warehouse.connect().loadTable(t)
            const referred = [
              ...metadata.metadataLog.map((one) => one.metadataFile),
              metadataLocation,
            ]
            for (const file of referred) {
              expect(warehouse.s3.objects.has(file.slice('s3://lake/'.length))).toBe(true)
            }
          } finally {
            await warehouse.close()
          }
        }),
        // Requests cross as they like, so a failing run can't be shrunk.
        { numRuns: Number(process.env['POTOK_TEST_ROOT_RUNS'] ?? 2), endOnFailure: true },
      )
      expect(counts.done).toBeGreaterThan(counts.unknown)
      expect(counts.refused).toBeGreaterThan(0)
    },
    longFormMsMax,
  )
})
