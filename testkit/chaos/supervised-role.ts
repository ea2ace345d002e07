/**
 * A role of potok as a process that is started again whenever it ends, as by systemd or Kubernetes. What it
 * writes to stderr is kept in a file, over all its lives.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { potokProgram } from '../potok-process.ts'

export type RolePlan = {
  readonly name: string
  readonly role: 'gateway' | 'writer' | 'rollups' | 'catalog' | 'api'
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly logFile: string
}

export type SupervisedRole = {
  readonly plan: RolePlan
  /** null while it is not up. */
  url(): string | null
  kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void
  /**
   * Kills it; the next life kills itself at the so-manyth passing of a crash point. True when it did before the signal;
   * else it may do so later.
   */
  crashAt(point: number, count: number, until: AbortSignal): Promise<boolean>
  /** How often it killed itself at each point. */
  crashes(): ReadonlyMap<number, number>
  lives(): number
  /** Ends that nobody brought about, with their exit codes. */
  ownEnds(): readonly string[]
  /** For good. */
  retire(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>
}

const restartMs = 300
const restartMsMax = 3_000
const goneMsMax = 30_000

export function superviseRole(plan: RolePlan): SupervisedRole {
  let child: ChildProcess | null = null
  let url: string | null = null
  let lives = 0
  const retired = new AbortController()
  let isOurDoing = false
  let armed: string | null = null
  /** Called when a life ends: true where it was by the crash point. */
  let onEnd: ((crashed: boolean) => void) | null = null
  const ownEnds: string[] = []
  const crashes = new Map<number, number>()

  async function live(): Promise<void> {
    for (let failures = 0; !retired.signal.aborted; ) {
      const crashAt = armed
      armed = null
      const wasUp = await liveOnce(crashAt)
      failures = wasUp ? 0 : failures + 1
      if (!retired.signal.aborted) await sleep(Math.min(restartMsMax, restartMs * 2 ** failures))
    }
  }

  async function liveOnce(crashAt: string | null): Promise<boolean> {
    const log = openSync(plan.logFile, 'a')
    const started = spawn(potokProgram, [plan.role, '--port', '0', '--json', ...plan.args], {
      stdio: ['ignore', 'pipe', log],
      env: {
        ...process.env,
        ...plan.env,
        ...(crashAt === null ? {} : { POTOK_TEST_CRASH_AT: crashAt }),
      },
    })
    closeSync(log)
    child = started
    isOurDoing = false
    lives++
    let banner = ''
    let wasUp = false
    started.stdout?.on('data', (chunk: Buffer) => {
      banner += chunk.toString()
      if (wasUp || !banner.trimEnd().endsWith('}')) return
      wasUp = true
      url = (JSON.parse(banner) as { url: string }).url
    })
    const how = await new Promise<string>((resolve) => {
      started.once('exit', (code, signal) => resolve(signal ?? `code ${code}`))
      started.once('error', (error) => resolve(error.message))
    })
    url = null
    child = null
    const crashed = crashAt !== null && how === 'SIGKILL' && !isOurDoing
    if (crashed) {
      const point = Number(crashAt.split(':')[0])
      crashes.set(point, (crashes.get(point) ?? 0) + 1)
    }
    if (!isOurDoing && !crashed) ownEnds.push(`${plan.name}: ${how}${wasUp ? '' : ' at its start'}`)
    onEnd?.(crashed)
    return wasUp
  }

  async function kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const running = child
    if (running === null) return
    const gone = new Promise<void>((resolve) => {
      running.once('exit', () => resolve())
    })
    isOurDoing = true
    running.kill(signal)
    const impatient = setTimeout(() => running.kill('SIGKILL'), goneMsMax)
    await gone
    clearTimeout(impatient)
  }

  const living = live()
  return {
    plan,
    url: () => url,
    kill,
    signal(signal) {
      child?.kill(signal)
    },
    async crashAt(point, count, until) {
      await kill('SIGKILL')
      armed = `${point}:${count}`
      return await new Promise<boolean>((resolve) => {
        const done = (crashed: boolean): void => {
          onEnd = null
          resolve(crashed)
        }
        until.addEventListener('abort', () => done(false), { once: true })
        if (until.aborted) done(false)
        // A life that ended in another way, at its start or by our hand, leaves it to the next one.
        onEnd = (crashed) => {
          if (crashed) done(true)
          else armed = `${point}:${count}`
        }
      })
    },
    crashes: () => crashes,
    lives: () => lives,
    ownEnds: () => ownEnds,
    async retire(signal) {
      retired.abort()
      child?.kill('SIGCONT')
      await kill(signal)
      await living
    },
  }
}
