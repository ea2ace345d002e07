/**
 * The adapter for foreign REST catalogs against Iceberg's reference server: everything that the port promises
 * but the atomic commit to several tables, which that server only pretends.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createRestCatalog, type RestCatalog } from '../../adapters/catalog/rest-catalog.ts'
import { type CatalogUnderTest, catalogContract } from '../../testkit/contracts/catalog.ts'
import { randomIds, systemClock } from '../../testkit/fixed-ports.ts'
import { playOneDay } from '../../testkit/one-day.ts'
import { runPotok, startPotok } from '../../testkit/potok-process.ts'
import {
  type ReferenceCatalog,
  startReferenceCatalog,
} from '../../testkit/servers/reference-catalog.ts'

const folder = mkdtempSync(join(tmpdir(), 'potok-reference-'))
let server: ReferenceCatalog

beforeAll(async () => {
  server = await startReferenceCatalog(`file://${folder}`)
})
afterAll(async () => {
  await server?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function open(): Promise<CatalogUnderTest> {
  const clients: RestCatalog[] = []
  return {
    connect: () => {
      const client = createRestCatalog({
        properties: { uri: server.uri },
        clock: systemClock,
        ids: randomIds,
      })
      clients.push(client)
      return client
    },
    close: async () => {
      for (const client of clients) await client.close()
      await server.clear()
    },
  }
}

catalogContract("Iceberg's reference server, over REST", open, { isForeign: true })

it('a token that it gives for client credentials goes with what follows', async () => {
  const catalog = createRestCatalog({
    properties: { uri: server.uri, credential: 'potok:secret' },
    clock: systemClock,
    ids: randomIds,
  })
  expect(await catalog.listNamespaces()).toEqual([])
  await catalog.close()
  const refused = createRestCatalog({
    properties: { uri: server.uri, credential: 'potok:secret', 'oauth2-server-uri': '/v1/config' },
    clock: systemClock,
    ids: randomIds,
  })
  await expect(refused.start()).rejects.toThrow('--catalog-credential')
  await refused.close()
})

it('potok runs on it from events to exact averages, and its audit finds nothing', async () => {
  const data = join(folder, 'potok')
  const potok = await startPotok(data, ['--catalog-uri', server.uri, '--recompute-schedule', 'off'])
  try {
    await playOneDay(potok, 'KV-REFERENCE')
    const verified = await runPotok(['verify', '--data', data, '--catalog-uri', server.uri])
    expect(verified.code, verified.stdout + verified.stderr).toBe(0)
    // Where that catalog puts them, not where potok would have.
    const tables = await fetch(`${server.uri}/v1/namespaces/traffic/tables/events`)
    expect(await tables.text()).toContain(`"location":"file://${folder}/traffic/events"`)
  } finally {
    await potok.kill('SIGTERM')
  }
})
