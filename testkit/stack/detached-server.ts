/**
 * A server that lives on after the command that started it. What is known of it afterwards is its pid and when
 * that process began: a pid alone may belong to somebody else by now, and only what we started is ever killed.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ServerPlan, untilReady } from '../servers/server-process.ts'

export type DetachedProcess = {
  readonly pid: number
  /** Of this pid in all of the machine's time. */
  readonly identity: string
}

const stopMsMax = 20_000
const logCharactersShown = 4_000

/** Spawned, not yet ready; its output goes to the end of `logFile`. */
export function spawnDetached(
  plan: ServerPlan,
  logFile: string,
): { readonly process: DetachedProcess | null; ready(signal: AbortSignal): Promise<void> } {
  const output = openSync(logFile, 'a')
  let child: ChildProcess
  try {
    child = spawn(plan.command, plan.args, {
      detached: true,
      stdio: ['ignore', output, output],
      env: { ...process.env, ...plan.env },
      ...(plan.cwd === undefined ? {} : { cwd: plan.cwd }),
    })
  } finally {
    closeSync(output)
  }
  child.unref()
  const log = (): string => readFileSync(logFile, 'utf8').slice(-logCharactersShown)
  const identity = child.pid === undefined ? null : processIdentity(child.pid)
  return {
    process: child.pid === undefined || identity === null ? null : { pid: child.pid, identity },
    ready: (signal) => untilReady(plan, child, log, signal),
  }
}

export function isRunning({ pid, identity }: DetachedProcess): boolean {
  return processIdentity(pid) === identity
}

/** SIGTERM, and SIGKILL where that is not enough; false where it was gone already. */
export async function stopDetached(server: DetachedProcess): Promise<boolean> {
  if (!isRunning(server)) return false
  signalTo(server, 'SIGTERM')
  // One that somebody has stopped with SIGSTOP would hear of it never.
  signalTo(server, 'SIGCONT')
  const end = Date.now() + stopMsMax
  while (isRunning(server)) {
    if (Date.now() > end) signalTo(server, 'SIGKILL')
    await sleep(50)
  }
  return true
}

function signalTo({ pid }: DetachedProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** When the process began, as exactly as the system says it; null where there is none, or only its remains. */
export function processIdentity(pid: number): string | null {
  if (process.platform === 'linux') return linuxIdentity(pid)
  try {
    const [state, ...began] = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
    })
      .trim()
      .split(/\s+/)
    return state === undefined || state.startsWith('Z') ? null : began.join(' ')
  } catch {
    return null
  }
}

/** proc(5): after the name in brackets, `state` is the third field and `starttime` the 22nd. */
function linuxIdentity(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return null
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot} ${fields[22 - 3]}`
  } catch {
    return null
  }
}
