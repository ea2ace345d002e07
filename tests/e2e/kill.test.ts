/** Nothing acknowledged is lost and nothing is counted twice, whenever the process is killed. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, it } from 'vitest'
import {
  eventually,
  getJson,
  postEvents,
  runPotok,
  startPotok,
  temporaryFolder,
} from '../../testkit/potok-process.ts'
import { runPython } from '../../testkit/python-venv.ts'

const rounds = Number(process.env['POTOK_TEST_KILL_ROUNDS'] ?? 20)
const folder = temporaryFolder('kill')
afterAll(folder.remove)

/** A seeded generator, so that a failing run can be tried again. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

it(`${rounds} times kill -9 under load: every acknowledged event is there, each log offset once`, {
  timeout: 900_000,
}, async () => {
  const seed = Number(process.env['POTOK_TEST_SEED'] ?? 20_261_123)
  const next = random(seed)
  let serial = 0
  let acknowledged = 0
  /** As a camera does: what was not acknowledged is sent again, with the same ids. */
  let pending: Record<string, unknown>[] = []
  const batch = () =>
    Array.from({ length: 50 + Math.floor(next() * 400) }, () => {
      serial++
      const camera = Math.floor(next() * 40)
      return {
        kvfv_id: `KV${camera}`,
        timestamp: new Date(Date.now() - Math.floor(next() * 3 * 86_400_000)).toISOString(),
        vehicle_speed: Math.floor(next() * 150_000) / 1000,
        plate_number: `А${serial}`,
        event_id: `e-${serial}`,
      }
    })
  for (let round = 0; round <= rounds; round++) {
    const potok = await startPotok(folder.path, ['--recompute-schedule', 'off'])
    const life = { killed: false }
    const send = async () => {
      while (!life.killed || pending.length > 0) {
        if (pending.length === 0) pending = batch()
        const response = await postEvents(potok.url, pending).catch(() => null)
        if (response?.status === 202) {
          acknowledged += pending.length
          pending = []
        } else if (life.killed) return
        else await sleep(20)
      }
    }
    const sending = send()
    if (round === rounds) {
      life.killed = true
      await sending
      // The last life ends in an orderly way, with everything committed.
      await eventually('sinks without lag', async () => {
        const status = await runPotok(['status', '--data', folder.path, '--json'])
        const { lag } = JSON.parse(status.stdout) as { lag: Record<string, number> }
        return lag['events'] === 0 && lag['rollup_5m'] === 0 ? true : null
      })
      expect(await getJson(`${potok.url}/readyz`)).toBeTruthy()
      const asked = await runPotok(['recompute', '--data', folder.path, '--json'])
      expect(asked.stderr + asked.stdout).not.toContain('failed')
      await potok.kill('SIGTERM')
    } else {
      await sleep(200 + next() * 4_000)
      life.killed = true
      await potok.kill('SIGKILL')
      await sending
    }
  }
  const verify = await runPotok(['verify', '--data', folder.path, '--json'])
  expect(JSON.parse(verify.stdout), `seed ${seed}`).toMatchObject({ findings: 0 })
  const counts = JSON.parse(
    await runPython(
      `
import duckdb, json, sys
from pyiceberg.table import StaticTable
import glob, os
con = duckdb.connect()
table = StaticTable.from_metadata(sorted(glob.glob(sys.argv[1] + '/warehouse/traffic/events/metadata/*.metadata.json'), key=lambda p: int(os.path.basename(p).split('-')[0]))[-1])
rows = table.scan(selected_fields=('event_id', 'log_partition', 'log_offset')).to_arrow()
print(json.dumps(con.execute('select count(*), count(distinct event_id), count(distinct (log_partition, log_offset)) from rows').fetchone()))
`,
      [folder.path],
    ),
  ) as [number, number, number]
  expect(counts[1]).toBe(acknowledged)
  expect(counts[2]).toBe(counts[0])
})
