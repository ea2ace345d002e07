/**
 * `npm run stack -- demo`: every role as a process of its own on the servers of the stack, fed by simulated
 * cameras over HTTP and MQTT, with the averages as they come. Stops the roles it started; the servers stay.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { queryTrino } from '../servers/trino.ts'
import { type DemoCameras, startDemoCameras } from './demo-cameras.ts'
import { type RoleProcess, startRoleProcess, writeTargets } from './role-processes.ts'
import { stackEnv } from './stack.ts'
import { mqttCameras, type StackPlace, subfolder } from './stack-place.ts'

/** The first makes the tables, so that the others meet nobody at that. */
const firstRole = 'catalog'
const otherRoles = ['gateway', 'mqtt', 'writer', 'rollups', 'api']
const shownCameras = ['SIM00001', mqttCameras[0]?.kvfvId ?? '']
const lookEveryMs = 5_000
const windowMs = 300_000

type Averages = {
  readonly total: { readonly event_count: number; readonly avg_speed: number | null }
}

export async function runDemo(
  place: StackPlace,
  /** null: until the signal. */
  seconds: number | null,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const env = stackEnv(place)
  const roles: RoleProcess[] = []
  const start = async (role: string): Promise<RoleProcess> => {
    const started = await startRoleProcess(role, env, subfolder(place, 'log'), signal)
    roles.push(started)
    say(`potok ${role.padEnd(8)} pid ${String(started.pid).padEnd(8)} ${started.url}`)
    return started
  }
  const feeding = new AbortController()
  try {
    await start(firstRole)
    const [gateway, , , , api] = await Promise.all(otherRoles.map(start))
    if (env['PROMETHEUS_URL'] !== undefined) writeTargets(subfolder(place, 'prometheus'), roles)
    const apiUrl = api?.url ?? ''
    say(`The dashboard is at ${apiUrl}/ ; Ctrl-C stops the roles, the servers stay.`)
    const cameras = await startDemoCameras(
      gateway?.url ?? '',
      env['MQTT_URL'] as string,
      AbortSignal.any([signal, feeding.signal]),
    )
    const over = seconds === null ? signal : endOf(seconds, signal)
    await Promise.race([show(apiUrl, cameras, roles, say, over), cameras.running])
    await sayWhatTrinoSees(env, say)
  } catch (error) {
    // Stopped before all was up.
    if (!signal.aborted) throw error
  } finally {
    feeding.abort()
    say('Stopping the roles …')
    await Promise.all(roles.map((role) => role.stop()))
    writeTargetsOfNone(place, env)
  }
}

function endOf(seconds: number, signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(seconds * 1_000)])
}

/** Until the signal; a role that ends by itself ends the demo. */
async function show(
  apiUrl: string,
  cameras: DemoCameras,
  roles: readonly RoleProcess[],
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const from = Math.floor(Date.now() / windowMs) * windowMs
  while (!signal.aborted) {
    await sleep(lookEveryMs, undefined, { signal }).catch(() => undefined)
    const ended = roles.find((role) => role.hasEnded())
    if (ended !== undefined) throw new Error(`potok ${ended.role} ended; its log: ${ended.logFile}`)
    const { http, mqtt } = cameras.sent()
    const averages = await Promise.all(shownCameras.map((id) => average(apiUrl, id, from)))
    say(`sent ${http} over HTTP, ${mqtt} over MQTT; ${averages.join('; ')}`)
  }
}

async function average(apiUrl: string, kvfvId: string, fromMs: number): Promise<string> {
  const [from, to] = [fromMs, Date.now() + windowMs].map((ms) => new Date(ms).toISOString())
  const query = `from=${from}&to=${to}&interval=5m`
  const response = await fetch(`${apiUrl}/kvfv/${kvfvId}/avg-speed?${query}`)
  if (!response.ok) return `${kvfvId}: the API answers ${response.status}`
  const { total } = (await response.json()) as Averages
  return total.event_count === 0
    ? `${kvfvId}: nothing yet`
    : `${kvfvId}: mean ${total.avg_speed} km/h of ${total.event_count}`
}

/** Another engine over the same tables, while the catalog still runs. */
async function sayWhatTrinoSees(
  env: Readonly<Record<string, string>>,
  say: (text: string) => void,
): Promise<void> {
  const url = env['TRINO_URL']
  if (url === undefined) return
  const sql = 'SELECT count(*), count(DISTINCT kvfv_id) FROM potok.traffic.events'
  const { rows } = await queryTrino(url, sql)
  say(`Trino: ${String(rows[0]?.[0])} events of ${String(rows[0]?.[1])} cameras in the table`)
}

function writeTargetsOfNone(place: StackPlace, env: Readonly<Record<string, string>>): void {
  if (env['PROMETHEUS_URL'] !== undefined) writeTargets(subfolder(place, 'prometheus'), [])
}
