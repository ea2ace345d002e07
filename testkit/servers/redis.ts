/** Redis for the stack suite and for `npm run stack`: Debian's, as a cache alone, with nothing kept on disk. */
import { portAnswers } from './port-answers.ts'
import { freePort, type ServerPlan, type ServerProcess, startServer } from './server-process.ts'
import { findSystemProgram } from './system-program.ts'

export type Redis = {
  readonly url: string
  log(): string
  /** Kills it without warning, and starts it again, empty, on the same port. */
  kill(): Promise<void>
  restart(): Promise<void>
  /** Leaves it hanging, connections and all, until it is told to go on. */
  pause(): Promise<void>
  resume(): Promise<void>
  stop(): Promise<void>
}

/** `settings` are further words of its command line: `['--maxmemory', '2mb']`. */
export async function startRedis(settings: readonly string[] = []): Promise<Redis> {
  const port = await freePort()
  const plan = await planRedis(port, settings)
  let server: ServerProcess = await startServer(plan)
  return {
    url: `redis://127.0.0.1:${port}`,
    log: () => server.log(),
    kill: () => server.kill('SIGKILL'),
    async restart() {
      await server.kill('SIGKILL')
      server = await startServer(plan)
    },
    async pause() {
      process.kill(server.pid, 'SIGSTOP')
    },
    async resume() {
      process.kill(server.pid, 'SIGCONT')
    },
    stop: () => server.kill('SIGKILL'),
  }
}

/** What the command line says wins over the file. */
export async function planRedis(
  port: number,
  settings: readonly string[],
  settingsFile?: string,
): Promise<ServerPlan> {
  const own = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  return {
    name: 'Redis',
    command: await findSystemProgram('redis-server', 'redis-server'),
    args: [...(settingsFile === undefined ? [] : [settingsFile]), ...own, ...settings],
    isReady: () => redisAnswers(port),
  }
}

/** A Redis that wants a password answers, too. */
export async function redisAnswers(port: number): Promise<boolean> {
  const isAnswer = (answer: Buffer): boolean => /^(\+PONG|-NOAUTH)/.test(answer.toString())
  return await portAnswers(port, 'PING\r\n', isAnswer)
}
