/**
 * Rebuilds the catalog's root from the metadata files in the warehouse, where it was lost, torn, or put back
 * from an old copy. `inspect` reads only; `apply` writes what `inspect` showed.
 *
 * What can't be known: whether a table without a root that names it was dropped, its name where it was renamed,
 * and whether the last commit of a crash was in. Idempotency keys are forgotten. The history of swaps begins
 * anew, so that whoever still waits for the outcome of an old swap is told "unknown", which is the truth.
 */
import { PotokError } from '../kernel/errors.ts'
import type { Clock, IdSource, ObjectStore, RootObject } from '../kernel/ports.ts'
import { createGenerationMarks } from './generation-marks.ts'
import type { GenerationMemory, SeenGeneration } from './generation-watch.ts'
import { createLocationPolicy, normaliseLocation } from './location-policy.ts'
import { createNamePages } from './name-pages.ts'
import { planRepair, type RepairChoices, type RepairPlan } from './repair-plan.ts'
import { type RepairScan, scanForRepair } from './repair-scan.ts'
import {
  decodeRootState,
  encodeRootState,
  firstRootState,
  newSwapId,
  type RootState,
} from './root-state.ts'

/** What was noted may lag behind by half a minute of swaps. */
const generationsSkipped = 10_000

export type RepairOptions = {
  readonly root: RootObject
  readonly store: ObjectStore
  readonly clock: Clock
  readonly ids: IdSource
  readonly warehouseLocation: string
  readonly allowedLocations: readonly string[]
  readonly generationMemory: GenerationMemory
}

export type RootCondition = 'whole' | 'missing' | 'torn' | 'old copy'

export type RepairInspection = {
  readonly condition: RootCondition
  readonly generation: number | null
  readonly generationSeen: number
  readonly scan: RepairScan
  readonly plan: RepairPlan
}

export type CatalogRepair = {
  inspect(choices: RepairChoices): Promise<RepairInspection>
  /** Gives the new generation, and the folder where the old root was kept; null where there was none. */
  apply(inspection: RepairInspection): Promise<{ generation: number; kept: string | null }>
}

export function createCatalogRepair(options: RepairOptions): CatalogRepair {
  const { root, store, ids, clock } = options
  const { warehouse } = createLocationPolicy(options)
  const catalogFolder = `${warehouse}/.catalog`
  const memories = [options.generationMemory, createGenerationMarks(store, warehouse)]
  const pages = createNamePages({
    store,
    folder: `${catalogFolder}/pages`,
    newId: () => ids.uuid(),
  })

  async function seen(): Promise<SeenGeneration[]> {
    return (await Promise.all(memories.map((memory) => memory.recall()))).flat()
  }

  async function conditionOf(): Promise<{ condition: RootCondition; state: RootState | null }> {
    let bytes: Uint8Array
    try {
      const found = await root.read()
      if (found === null) return { condition: 'missing', state: null }
      bytes = found.bytes
    } catch (error) {
      if (error instanceof PotokError && error.kind === 'DataCorrupt') {
        return { condition: 'torn', state: null }
      }
      throw error
    }
    let state: RootState
    try {
      state = decodeRootState(bytes)
    } catch (error) {
      if (!(error instanceof PotokError) || error.kind !== 'DataCorrupt') throw error
      return { condition: 'torn', state: null }
    }
    const isOld = (await seen()).some(
      (one) =>
        (state.warehouseId === null || state.warehouseId === one.warehouseId) &&
        one.generation > state.generation,
    )
    return { condition: isOld ? 'old copy' : 'whole', state }
  }

  /** Copies of everything that was a root, so that the repair can be undone by hand. */
  async function keepOld(folder: string): Promise<string | null> {
    const found: string[] = []
    for await (const { location } of store.list(`${catalogFolder}/root`)) found.push(location)
    for (const location of found) {
      const name = location.slice(location.lastIndexOf('/') + 1)
      await store.write(`${folder}/${name}`, await store.read(location))
    }
    return found.length === 0 ? null : folder
  }

  return {
    async inspect(choices) {
      const { condition, state } = await conditionOf()
      const scan = await scanForRepair({
        store,
        pages,
        warehouse,
        catalogFolder,
        prefixes: options.allowedLocations.map(normaliseLocation),
      })
      const generationSeen = Math.max(
        0,
        state?.generation ?? 0,
        scan.rootCopy?.state.generation ?? 0,
        ...(await seen()).map((one) => one.generation),
      )
      const plan = planRepair(scan, warehouse, choices)
      return { condition, generation: state?.generation ?? null, generationSeen, scan, plan }
    },

    async apply({ scan, plan, generationSeen }) {
      const version = await root.version()
      const nowMs = clock.nowMs()
      const kept = await keepOld(`${catalogFolder}/before-repair-${nowMs}`)
      const first = firstRootState(newSwapId(ids), nowMs)
      const empty: RootState = {
        ...first,
        // Kept where it is known, so that the copies of before are known for what they are.
        warehouseId:
          scan.rootCopy?.state.warehouseId ?? (await seen())[0]?.warehouseId ?? first.warehouseId,
        generation: generationSeen + generationsSkipped,
      }
      const state = pages.isMergeDue(plan.entries)
        ? { ...empty, pages: (await pages.merge(empty, plan.entries)).pages }
        : { ...empty, entries: plan.entries }
      const result = await root.swap(version, encodeRootState(state))
      if (!result.won) {
        throw new PotokError(
          'CommitConflict',
          'the catalog changed while it was repaired: stop every potok that serves this warehouse, and look again',
        )
      }
      const { warehouseId, generation } = state
      if (warehouseId !== null) {
        for (const memory of memories) await memory.remember({ warehouseId, generation })
      }
      return { generation, kept }
    },
  }
}
