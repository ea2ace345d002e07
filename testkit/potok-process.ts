/** A real potok as a process of its own, for tests that must not share anything with it but its promises. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export const potokProgram = join(import.meta.dirname, '..', 'potok')

export type RunningRole = {
  readonly pid: number
  kill(signal: NodeJS.Signals): Promise<void>
  /** Everything it wrote to stderr so far (the last 64 KiB). */
  log(): string
}

export type RunningPotok = RunningRole & {
  readonly url: string
  readonly catalogUrl: string
  /** Null with `--mqtt-port 0`, which is what it is started with unless told otherwise. */
  readonly mqttUrl: string | null
  readonly warehouse: string
}

export function temporaryFolder(name: string): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), `potok-${name}-`))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

export async function startPotok(
  data: string,
  args: readonly string[] = [],
): Promise<RunningPotok> {
  const { banner, ...running } = await startProgram([
    'up',
    '--data',
    data,
    '--catalog-port',
    '0',
    '--mqtt-port',
    '0',
    ...args,
  ])
  return {
    ...running,
    url: banner['api'] as string,
    catalogUrl: banner['catalog'] as string,
    mqttUrl: banner['mqtt'] ?? null,
    warehouse: banner['warehouse'] as string,
  }
}

/** One role in a process of its own. */
export async function startRole(
  role: string,
  data: string,
  args: readonly string[] = [],
): Promise<RunningRole & { url: string; catalogUrl: string | null }> {
  const { banner, ...running } = await startProgram([role, '--data', data, ...args])
  return { ...running, url: banner['url'] as string, catalogUrl: banner['catalog'] ?? null }
}

async function startProgram(
  args: readonly string[],
): Promise<RunningRole & { banner: Record<string, string> }> {
  const [command, ...more] = args
  const child = spawn(
    potokProgram,
    [command as string, '--port', '0', '--json', '--log-level', 'warn', ...more],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-65_536)
  })
  const banner = await new Promise<Record<string, string>>((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.trimEnd().endsWith('}')) resolve(JSON.parse(text) as Record<string, string>)
    })
    child.once('exit', (code) =>
      reject(new Error(`potok ${command} ended with code ${code}: ${log}`)),
    )
  })
  return {
    banner,
    pid: child.pid as number,
    log: () => log,
    kill: async (signal) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = exited(child)
      child.kill(signal)
      await gone
    },
  }
}

function exited(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
  })
}

export type CommandResult = {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `./potok …` to its end. */
export async function runPotok(
  args: readonly string[],
  input = '',
  env: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const child = spawn(potokProgram, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
  child.stdin.end(input)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  return { code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }
}

export async function getJson<T = Record<string, unknown>>(url: string): Promise<T> {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return (await response.json()) as T
}

export async function postEvents(url: string, events: readonly unknown[]): Promise<Response> {
  return await fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: events.map((event) => JSON.stringify(event)).join('\n'),
  })
}

/** Events of twenty cameras, one a second from 2025-04-05T10:00Z on, each with an id of its own. */
export function eventsNamed(name: string, count: number) {
  return Array.from({ length: count }, (_, i) => ({
    kvfv_id: `KV${i % 20}`,
    timestamp: new Date(Date.UTC(2025, 3, 5, 10) + i * 1_000).toISOString(),
    vehicle_speed: 20 + (i % 90),
    event_id: `${name}${i}`,
  }))
}

export async function readiness(url: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${url}/readyz`)
  return { status: response.status, text: await response.text() }
}

/** What `potok status` says, and its exit code. */
export async function potokStatus(args: readonly string[]) {
  const { code, stdout, stderr } = await runPotok(['status', ...args, '--json'])
  if (stdout === '') throw new Error(`status ended with ${code}: ${stderr}`)
  return { code, ...(JSON.parse(stdout) as StatusAnswer) }
}

type StatusAnswer = {
  problems: { part: string; reason: string }[]
  tables: Record<string, { rows: number }>
  lag: Record<string, number | null>
  sinks: Record<string, { halted: string | null }>
}

/** Waits until the look gives something other than null; the error names what was waited for. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | null>,
  timeoutMs = 30_000,
): Promise<T> {
  const end = Date.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for: ${what}`)
    await sleep(100)
  }
}

/** Asks for a recomputation and waits for its end. */
export async function recompute(url: string, body: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/v1/recompute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (response.status !== 202)
    throw new Error(`recompute: ${response.status} ${await response.text()}`)
  const { run_id } = (await response.json()) as { run_id: string }
  return await eventually(
    `the end of run ${run_id}`,
    async () => {
      const run = await getJson(`${url}/v1/recompute/${run_id}`)
      return run['status'] === 'queued' || run['status'] === 'running' ? null : run
    },
    300_000,
  )
}
