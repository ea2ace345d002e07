/**
 * potok's roles as processes of their own on the servers of a stack, for `demo`: started, waited for, watched,
 * and stopped with it. What they log goes to the stack's folder.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const program = join(import.meta.dirname, '..', '..', 'potok')
const readyMsMax = 300_000
const stopMsMax = 30_000

export type RoleProcess = {
  readonly role: string
  readonly pid: number
  /** Of its health and metrics; of intake and API, where it has them. */
  readonly url: string
  readonly logFile: string
  hasEnded(): boolean
  stop(): Promise<void>
}

/** Resolves when `/readyz` is 200. In a group of its own: Ctrl-C in a terminal is for us to pass on. */
export async function startRoleProcess(
  role: string,
  env: Readonly<Record<string, string>>,
  logFolder: string,
  signal: AbortSignal,
): Promise<RoleProcess> {
  const logFile = join(logFolder, `potok-${role}.log`)
  const log = openSync(logFile, 'a')
  const child = spawn(program, [role, '--json'], {
    detached: true,
    stdio: ['ignore', 'pipe', log],
    env: { ...process.env, ...env },
  })
  closeSync(log)
  const killWithUs = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', killWithUs)
  child.once('exit', () => process.removeListener('exit', killWithUs))
  const started = {
    role,
    pid: child.pid ?? 0,
    logFile,
    hasEnded: () => hasEnded(child),
    stop: () => stop(child),
  }
  try {
    const url = await announcedUrl(child, role, logFile, signal)
    await untilReady(started, url, signal)
    return { ...started, url }
  } catch (error) {
    await stop(child)
    throw error
  }
}

/** Scraped by the Prometheus of the stack, and by whoever else reads the file. */
export function writeTargets(prometheusFolder: string, roles: readonly RoleProcess[]): void {
  const targets = roles.map(({ role, url }) => ({
    targets: [new URL(url).host],
    labels: { role },
  }))
  writeFileSync(join(prometheusFolder, 'targets', 'demo.json'), JSON.stringify(targets))
}

/** The first thing on stdout is a JSON object that says where it listens. */
async function announcedUrl(
  child: ChildProcess,
  role: string,
  logFile: string,
  signal: AbortSignal,
): Promise<string> {
  const text = await new Promise<string>((resolve, reject) => {
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
      if (seen.trimEnd().endsWith('}')) resolve(seen)
    })
    child.once('error', reject)
    child.once('exit', (code) =>
      reject(new Error(`potok ${role} ended with ${code}; its log: ${logFile}`)),
    )
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
  return (JSON.parse(text) as { url: string }).url
}

async function untilReady(
  { role, logFile, hasEnded: ended }: Pick<RoleProcess, 'role' | 'logFile' | 'hasEnded'>,
  url: string,
  signal: AbortSignal,
): Promise<void> {
  const end = Date.now() + readyMsMax
  let reason = 'it does not answer'
  for (;;) {
    signal.throwIfAborted()
    if (ended()) throw new Error(`potok ${role} ended; its log: ${logFile}`)
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(10_000) }).catch(
      () => null,
    )
    if (response?.ok === true) return
    if (response !== null) reason = await response.text()
    if (Date.now() > end) throw new Error(`potok ${role} is not ready: ${reason}`)
    await sleep(200)
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function stop(child: ChildProcess): Promise<void> {
  if (hasEnded(child) || child.pid === undefined) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const impatient = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
  await gone
  clearTimeout(impatient)
}
