/** A server that a suite starts for itself: on a free port of the loopback, watched, and gone with the suite. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export type ServerProcess = {
  readonly pid: number
  /** The end of what it printed. */
  log(): string
  kill(signal: NodeJS.Signals): Promise<void>
  /** SIGTERM, and SIGKILL where that is not enough. */
  stop(): Promise<void>
}

const logCharactersMax = 65_536
const stopMsMax = 20_000

/** What is to be run, whoever runs it: a suite for its own life, or `npm run stack` beyond that of the command. */
export type ServerPlan = {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** A failure counts as no. */
  readonly isReady: () => Promise<boolean>
  readonly readyMsMax?: number
}

/** Resolves when it is ready; fails loudly, with the end of the log, where the server ends or takes too long. */
export async function startServer(plan: ServerPlan): Promise<ServerProcess> {
  const child = spawn(plan.command, plan.args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...plan.env },
    ...(plan.cwd === undefined ? {} : { cwd: plan.cwd }),
  })
  let text = ''
  const keep = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-logCharactersMax)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const onExit = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', onExit)
  child.once('exit', () => process.removeListener('exit', onExit))
  try {
    await untilReady(plan, child, () => text)
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }

  async function kill(signal: NodeJS.Signals): Promise<void> {
    if (hasEnded(child)) return
    const gone = new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
    })
    child.kill(signal)
    await gone
  }
  return {
    pid: child.pid as number,
    log: () => text,
    kill,
    async stop() {
      const impatient = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
      await kill('SIGTERM')
      clearTimeout(impatient)
    },
  }
}

/** What a child that is starting says of itself is for the error alone: ready is what `isReady` says. */
export async function untilReady(
  plan: ServerPlan,
  child: ChildProcess,
  log: () => string,
  signal?: AbortSignal,
): Promise<void> {
  const { name } = plan
  let failure: Error | null = null
  child.once('error', (error) => {
    failure = error
  })
  const end = Date.now() + (plan.readyMsMax ?? 120_000)
  for (;;) {
    signal?.throwIfAborted()
    if (failure !== null) throw new Error(`${name} can not be started`, { cause: failure })
    if (hasEnded(child)) {
      throw new Error(`${name} ended with ${child.exitCode ?? child.signalCode}:\n${log()}`)
    }
    if (await plan.isReady().catch(() => false)) return
    if (Date.now() > end) throw new Error(`${name} is not ready after its time:\n${log()}`)
    await sleep(100)
  }
}

/** A port that is free now: this one, if it is, else any. */
export async function freePort(wanted = 0): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error) => {
      if (wanted === 0) reject(error)
      else resolve(freePort())
    })
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
