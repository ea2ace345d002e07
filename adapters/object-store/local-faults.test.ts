/** What a power cut or a failing disk leaves of a catalog on a local folder, at every call to the file system. */
import { describe, expect, it } from 'vitest'
import {
  type FileSystemCall,
  type Interception,
  interceptFileSystem,
} from '../../testkit/intercepted-file-system.ts'
import {
  openLocalCatalog,
  setProperty,
  steps,
  stepsLeft,
} from '../../testkit/local-catalog-steps.ts'
import {
  createPowerCutFileSystem,
  type PowerCutFileSystem,
} from '../../testkit/power-cut-file-system.ts'
import { createRandom } from '../../testkit/random.ts'
import { isPotokError } from '../../kernel/errors.ts'

const warehouse = '/disk/data/warehouse'
const cutsPerCall = 4

type Run = { fs: PowerCutFileSystem; done: string[]; outcomes: Map<string, string>; calls: number }

/** All steps, or as many as the interception lets through. */
async function runSteps(intercept: Interception): Promise<Run> {
  const fs = createPowerCutFileSystem()
  const run: Run = { fs, done: [], outcomes: new Map(), calls: 0 }
  const counted = interceptFileSystem(fs, (call) => {
    run.calls = call.number
    return intercept(call)
  })
  const catalog = openLocalCatalog(warehouse, counted)
  for (const step of steps) {
    try {
      await step.run(catalog)
      run.done.push(step.name)
    } catch (error) {
      const kind = isPotokError(error) ? error.kind : String(error)
      run.outcomes.set(step.name, kind)
    }
  }
  await catalog.close()
  return run
}

function failing(code: string): Error {
  return Object.assign(new Error(code), { code })
}

/** What is wrong after cutting the power before one of the calls; null where nothing is, whatever was lost. */
async function findLoss(skip: (call: FileSystemCall) => boolean): Promise<string | null> {
  const random = createRandom(7)
  const { calls } = await runSteps(() => 'run')
  for (let cutAt = 1; cutAt <= calls + 1; cutAt++) {
    const { fs, done } = await runSteps((call) => {
      if (call.number >= cutAt) throw new Error('the power is off')
      return call.name === 'sync' && skip(call) ? 'skip' : 'run'
    })
    for (let i = 0; i < cutsPerCall; i++) {
      const wrong = await whatIsWrong(
        fs.cut(() => random.next()),
        done,
      )
      if (wrong !== null) return `power cut before call ${cutAt}: ${wrong}`
    }
  }
  return null
}

async function whatIsWrong(
  fs: PowerCutFileSystem,
  done: readonly string[],
): Promise<string | null> {
  const catalog = openLocalCatalog(warehouse, fs)
  try {
    const left = await stepsLeft(catalog)
    if (done.some((name) => !left.includes(name))) {
      return `done: ${done.join()}, left: ${left.join()}`
    }
    if (left.length > done.length + 1) return `only done: ${done.join()}, left: ${left.join()}`
    if (left.includes('table')) await setProperty(catalog, 'later')
    else await catalog.createNamespace(['later'])
    return null
  } catch (error) {
    return String(error)
  }
}

describe('a power cut between any two calls', () => {
  it('takes nothing that was acknowledged, and leaves a catalog that works', async () => {
    expect(await findLoss(() => false)).toBeNull()
  })

  const folder = (path: string): boolean => !/\/(\.?root-|\.potok-tmp-)[^/]*$/.test(path)
  it.each<[string, (call: FileSystemCall) => boolean]>([
    ['a new root', ({ path }) => path.includes('/.root-tmp-')],
    ["the root's folder", ({ path }) => path.endsWith('/.catalog')],
    ["the warehouse's folder", ({ path }) => path === warehouse],
    ['a metadata file', ({ path }) => path.includes('/.potok-tmp-')],
    ['the folder of metadata files', ({ path }) => folder(path) && path.endsWith('/metadata')],
    ["the table's folder", ({ path }) => path === `${warehouse}/ns/t`],
    ['the folder above the warehouse', ({ path }) => path === '/disk/data'],
  ])('is noticed by this test where the fsync of %s is left out', async (_what, skip) => {
    expect(await findLoss(skip)).not.toBeNull()
  })
})

describe.each(['ENOSPC', 'EIO'])('a disk that says %s', (code) => {
  const isWriting = ({ name }: FileSystemCall): boolean =>
    ['open', 'writeFile', 'sync', 'link', 'mkdir', 'unlink'].includes(name)

  it.each(['once', 'from then on'])(
    'at any call, %s, leaves what was said to be in',
    async (when) => {
      const { calls } = await runSteps(() => 'run')
      for (let failAt = 1; failAt <= calls; failAt++) {
        const { fs, done, outcomes } = await runSteps((call) => {
          const isNow = when === 'once' ? call.number === failAt : call.number >= failAt
          if (isNow && (when === 'once' || isWriting(call))) throw failing(code)
          return 'run'
        })
        const catalog = openLocalCatalog(warehouse, fs)
        const left = await stepsLeft(catalog)
        for (const { name } of steps) {
          const outcome = outcomes.get(name)
          const isIn = left.includes(name)
          if (done.includes(name)) expect([failAt, name, isIn]).toEqual([failAt, name, true])
          else if (outcome !== 'CommitStateUnknown') {
            expect([failAt, name, outcome, isIn]).toEqual([failAt, name, outcome, false])
          }
        }
        // The disk works again, and so does the catalog.
        if (left.includes('table')) await setProperty(catalog, 'later')
        else await catalog.createNamespace(['later'])
      }
    },
  )
})
