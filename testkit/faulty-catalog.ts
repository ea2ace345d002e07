/**
 * What lies between a client and its catalog: requests and answers get lost, and a commit may arrive long
 * after its sender gave up. Around any catalog.
 */
import type { Catalog, TableCommit, TableIdentifier } from '../iceberg/catalog.ts'
import { PotokError } from '../kernel/errors.ts'

/**
 * - `request-lost`: nothing arrives. `answer-lost`: it is done, nobody hears.
 * - `delayed`: the sender hears of a time-out; it arrives when `deliver` is called.
 * - `refused-though-done`: a proxy sent it twice and passes on the second answer, a conflict.
 * - `answered-late`: the answer is put together from loads of a later moment, as a client of
 *   `transactions/commit` has to do.
 */
export type CommitFault =
  | 'ok'
  | 'request-lost'
  | 'answer-lost'
  | 'delayed'
  | 'refused-though-done'
  | 'answered-late'

export type FaultyCatalog = Catalog & {
  /** Asked before each commit; may wait. */
  beforeCommit: (commits: readonly TableCommit[]) => Promise<CommitFault>
  /** Asked before each load; throws: the load failed. */
  beforeLoad: (identifier: TableIdentifier) => Promise<void>
  beforeLateAnswer: () => Promise<void>
  /** Lets the commits that are under way arrive, oldest first; each is tried once. */
  deliver(): Promise<void>
}

export function createFaultyCatalog(catalog: Catalog): FaultyCatalog {
  let delayed: (readonly TableCommit[])[] = []
  const faulty: FaultyCatalog = {
    ...catalog,
    beforeCommit: async () => 'ok',
    beforeLoad: async () => {},
    beforeLateAnswer: async () => {},
    async loadTable(identifier) {
      await faulty.beforeLoad(identifier)
      return catalog.loadTable(identifier)
    },
    async commit(commits) {
      const fault = await faulty.beforeCommit(commits)
      if (fault === 'ok') return catalog.commit(commits)
      if (fault === 'answered-late') {
        await catalog.commit(commits)
        await faulty.beforeLateAnswer()
        return Promise.all(commits.map(({ identifier }) => catalog.loadTable(identifier)))
      }
      if (fault === 'delayed') delayed.push(commits)
      if (fault === 'answer-lost') await arrive(commits)
      if (fault === 'refused-though-done') {
        await catalog.commit(commits)
        return catalog.commit(commits)
      }
      throw new PotokError('CommitStateUnknown', 'no answer came back')
    },
    async deliver() {
      const arriving = delayed
      delayed = []
      for (const commits of arriving) await arrive(commits)
    },
  }

  /** Done or refused: nobody hears of either. */
  async function arrive(commits: readonly TableCommit[]): Promise<void> {
    try {
      await catalog.commit(commits)
    } catch (error) {
      if (!(error instanceof PotokError)) throw error
    }
  }
  return faulty
}
