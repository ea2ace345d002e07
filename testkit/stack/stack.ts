/**
 * The life of the stack's servers: `startStack` brings up what isn't up, `stackStatus` looks, `stopStack` ends
 * what we started and nothing else. A start that fails for one server stops those that it started itself.
 * Two of these at the same time on one folder are not foreseen.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../servers/server-process.ts'
import { type DetachedProcess, isRunning, spawnDetached, stopDetached } from './detached-server.ts'
import { type PortName, portNames, type StackPlace, subfolder } from './stack-place.ts'
import { potokEnv, type ServerName, serverNames, stackServers } from './stack-servers.ts'
import { readState, removeEnv, type StackState, writeEnv, writeState } from './stack-state.ts'

const healthMsMax = 15_000

export type ServerStatus = {
  readonly name: ServerName
  readonly state: 'up' | 'unhealthy' | 'down'
  readonly address: string
  readonly pid: number
  readonly logFile: string
}

export async function startStack(
  folder: string,
  names: readonly ServerName[],
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<StackPlace> {
  let state = readState(folder)
  const running = (name: ServerName): boolean => {
    const server = state.servers[name]
    return server !== undefined && isRunning(server)
  }
  const place: StackPlace = { folder, ports: await choosePorts(state, running) }
  const note = (name: ServerName, server: DetachedProcess | null): void => {
    const { [name]: _, ...others } = state.servers
    state = {
      ports: place.ports,
      servers: server === null ? others : { ...others, [name]: server },
    }
    writeState(folder, state)
  }
  writeState(folder, { ...state, ports: place.ports })

  const mine: ServerName[] = []
  const failed = new AbortController()
  const any = AbortSignal.any([signal, failed.signal])
  const bringUp = async (name: ServerName): Promise<void> => {
    const server = state.servers[name]
    if (server !== undefined && isRunning(server)) {
      if (await isHealthy(name, place)) {
        say(`${name.padEnd(11)} is up already: ${stackServers[name].address(place)}`)
        return
      }
      say(`${name.padEnd(11)} runs but does not answer: it is stopped and started again`)
      await stopDetached(server)
    }
    const plan = await stackServers[name].plan(place)
    any.throwIfAborted()
    const spawned = spawnDetached(
      { ...plan, isReady: () => stackServers[name].isHealthy(place) },
      logFileOf(place, name),
    )
    if (spawned.process !== null) {
      mine.push(name)
      note(name, spawned.process)
    }
    await spawned.ready(any)
    await stackServers[name].fill?.(place)
    say(`${name.padEnd(11)} is up: ${stackServers[name].address(place)}`)
  }
  const results = await Promise.allSettled(
    names.map(async (name) => {
      try {
        await bringUp(name)
      } catch (error) {
        // The others needn't be waited for any more.
        failed.abort()
        throw error
      }
    }),
  )
  const errors = results.flatMap((result, i) => {
    if (result.status === 'fulfilled' || isAbort(result.reason)) return []
    return [`${names[i]}: ${describe(result.reason)}`]
  })
  if (errors.length > 0 || signal.aborted) {
    await Promise.all(
      mine.map(async (name) => {
        await stopDetached(state.servers[name] as DetachedProcess)
        note(name, null)
      }),
    )
    const stopped = mine.length === 0 ? '' : `\nStopped again: ${mine.join(', ')}.`
    throw new Error(`${errors.join('\n') || 'interrupted'}${stopped}`)
  }
  writeEnv(folder, stackEnv(place))
  return place
}

/** All that this stack has started, be it up or not. */
export async function stackStatus(folder: string): Promise<ServerStatus[]> {
  const state = readState(folder)
  const place = placeOf(folder, state)
  const known = serverNames.filter((name) => state.servers[name] !== undefined)
  return await Promise.all(
    known.map(async (name): Promise<ServerStatus> => {
      const server = state.servers[name] as DetachedProcess
      const up = isRunning(server)
      const healthy = up && (await isHealthy(name, place))
      return {
        name,
        state: healthy ? 'up' : up ? 'unhealthy' : 'down',
        address: stackServers[name].address(place),
        pid: server.pid,
        logFile: logFileOf(place, name),
      }
    }),
  )
}

/** Keeps the data and the ports for the next start, unless they are to go, too. */
export async function stopStack(
  folder: string,
  removeData: boolean,
  say: (text: string) => void,
): Promise<void> {
  const state = readState(folder)
  await Promise.all(
    Object.entries(state.servers).map(async ([name, server]) => {
      const stopped = await stopDetached(server)
      say(`${name.padEnd(11)} ${stopped ? 'is stopped' : 'was gone already'}`)
    }),
  )
  writeState(folder, { ...state, servers: {} })
  removeEnv(folder)
  if (!removeData) return
  for (const name of [...serverNames, 'potok', 'log', 'state.json']) {
    rmSync(join(folder, name), { recursive: true, force: true })
  }
}

/**
 * Those of the last start where they are free: addresses that people noted go on to work. That of potok's
 * catalog is taken where potok runs, so it stays as long as any server does.
 */
async function choosePorts(
  state: StackState,
  running: (name: ServerName) => boolean,
): Promise<Record<PortName, number>> {
  const isKept = (name: PortName): boolean =>
    serverNames.some(
      (server) => running(server) && (name.startsWith(server) || name === 'potokCatalog'),
    )
  const ports: Partial<Record<PortName, number>> = {}
  for (const name of portNames) {
    const former = state.ports[name]
    ports[name] = former !== undefined && isKept(name) ? former : await freePort(former)
  }
  return ports as Record<PortName, number>
}

function placeOf(folder: string, state: StackState): StackPlace {
  const ports = Object.fromEntries(portNames.map((name) => [name, state.ports[name] ?? 0]))
  return { folder, ports: ports as Record<PortName, number> }
}

/** What `.stack/env` says: of the servers that were started. */
export function stackEnv(place: StackPlace): Record<string, string> {
  const { servers } = readState(place.folder)
  const env = potokEnv(place)
  for (const name of serverNames) {
    if (servers[name] !== undefined) Object.assign(env, stackServers[name].env(place))
  }
  return env
}

async function isHealthy(name: ServerName, place: StackPlace): Promise<boolean> {
  const late = new Promise<boolean>((resolve) => {
    setTimeout(() => resolve(false), healthMsMax).unref()
  })
  return await Promise.race([stackServers[name].isHealthy(place).catch(() => false), late])
}

function logFileOf(place: StackPlace, name: ServerName): string {
  return join(subfolder(place, 'log'), `${name}.log`)
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

function describe(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error ? `${message}: ${cause.message}` : message
}
