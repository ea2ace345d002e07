/** Two potoks: one serves the catalog, the other keeps its tables in it and has none of its own. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { playOneDay } from '../../testkit/one-day.ts'
import {
  eventually,
  getJson,
  postEvents,
  type RunningPotok,
  runPotok,
  startPotok,
  startRole,
  temporaryFolder,
} from '../../testkit/potok-process.ts'
import { allEndpoints, configAnswer } from '../../testkit/scripted-catalog.ts'
import { startScriptedServer } from '../../testkit/scripted-http.ts'
import { freePort } from '../../testkit/servers/server-process.ts'

const folder = temporaryFolder('other-catalog')
const server = join(folder.path, 'server')
const data = join(folder.path, 'data')
let catalogPort: number
let catalog: Awaited<ReturnType<typeof startRole>>
let potok: RunningPotok
let uri: string

const startCatalog = () => startRole('catalog', server, ['--catalog-port', String(catalogPort)])

beforeAll(async () => {
  catalogPort = await freePort()
  catalog = await startCatalog()
  uri = catalog.catalogUrl as string
  potok = await startPotok(data, ['--catalog-uri', uri, '--recompute-schedule', 'off'])
})
afterAll(async () => {
  await potok?.kill('SIGTERM')
  await catalog?.kill('SIGTERM')
  folder.remove()
})

it('averages become exact in tables that another potok serves', async () => {
  expect(potok.catalogUrl).toBe(uri)
  await playOneDay(potok, 'KV-REMOTE')
  const { services } = await getJson<{ services: string[] }>(`${potok.url}/readyz`)
  expect(services).toContain('catalog')
  // Nothing of a catalog of its own.
  expect(existsSync(join(data, 'warehouse', '.catalog'))).toBe(false)
})

it('every command looks into that catalog', async () => {
  const where = ['--data', data, '--catalog-uri', uri]
  const status = await runPotok(['status', ...where, '--json'])
  expect(JSON.parse(status.stdout), status.stderr).toMatchObject({
    catalog: uri,
    tables: { events: { rows: 60 } },
  })
  const listed = await runPotok(['catalog', 'tables', ...where])
  expect(listed.stdout, listed.stderr).toMatch(/traffic\.events +60 rows/)
  const verified = await runPotok(['verify', ...where])
  expect(verified.code, verified.stdout + verified.stderr).toBe(0)
  expect(verified.stdout).toContain(uri)
})

it('a catalog that is down for a while delays averages and loses nothing', async () => {
  await catalog.kill('SIGKILL')
  const down = await eventually('a health that names the catalog', async () => {
    const response = await fetch(`${potok.url}/readyz`)
    return response.status === 503 ? await response.text() : null
  })
  expect(down).toContain(uri)
  const event = {
    kvfv_id: 'KV-LATER',
    timestamp: new Date(Date.now() - 60_000).toISOString(),
    vehicle_speed: 50,
  }
  expect((await postEvents(potok.url, [event])).status).toBe(202)
  catalog = await startCatalog()
  await eventually('the event in the tables', async () => {
    const response = await fetch(`${potok.url}/kvfv`)
    return (await response.text()).includes('KV-LATER') ? true : null
  })
  await eventually('health', async () => ((await fetch(`${potok.url}/readyz`)).ok ? true : null))
  const verified = await runPotok(['verify', '--data', data, '--catalog-uri', uri])
  expect(verified.code, verified.stdout + verified.stderr).toBe(0)
})

it('a catalog without the atomic commit is refused by name, at start', async () => {
  const transaction = 'POST /v1/{prefix}/transactions/commit'
  const endpoints = allEndpoints.filter((one) => one !== transaction)
  const unfit = await startScriptedServer(() => configAnswer({ endpoints }))
  const args = ['--data', join(folder.path, 'unfit'), '--port', '0', '--catalog-uri', unfit.url]
  const refused = await runPotok(['up', ...args])
  expect(refused.code).toBe(2)
  expect(refused.stderr).toContain(unfit.url)
  expect(refused.stderr).toContain(transaction)
  await unfit.close()
})

it('potok catalog serves its own and no other', async () => {
  const refused = await runPotok(['catalog', '--data', server, '--catalog-uri', uri])
  expect(refused.code).toBe(2)
  expect(refused.stderr).toContain('--catalog-uri')
})

it('secrets of a catalog are printed by no command', async () => {
  const secrets = ['--catalog-credential', 'me:hidden-1', '--catalog-token', 'hidden-2']
  const { stdout, code } = await runPotok(['config', '--json', ...secrets])
  expect(code).toBe(0)
  expect(stdout).not.toMatch(/hidden-/)
})
