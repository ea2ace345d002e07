/**
 * Trino as the strictest client of potok's catalog: it reads what potok writes, and writes what potok reads.
 * One Trino, one potok and one Python for all of it; the parts are beside, in `trino/`.
 */
import { afterAll, beforeAll } from 'vitest'
import { describeCatalogStatements } from './trino/catalog-statements.ts'
import { describeMadeByTrino } from './trino/made-by-trino.ts'
import { describeOnS3 } from './trino/on-s3.ts'
import { describeOwnTables } from './trino/own-tables.ts'
import { describeRivalWriters } from './trino/rival-writers.ts'
import { startWorld, type World } from './trino/world.ts'

let running: World | undefined

function world(): World {
  if (running === undefined) throw new Error('the world has not started')
  return running
}

beforeAll(async () => {
  running = await startWorld()
})
afterAll(() => running?.stop())

describeOwnTables(world)
describeMadeByTrino(world)
describeCatalogStatements(world)
describeRivalWriters(world)
describeOnS3(world)
