/**
 * One writing potok per data folder. The lock is the operating system's (an exclusive SQLite transaction),
 * so it is gone with the process however that ends; `running.json` beside it says who holds it.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { PotokError } from '../kernel/errors.ts'

export type RunningPotok = {
  readonly pid: number
  readonly startedAt: string
  /** Base URL of HTTP, once it listens. */
  readonly url: string | null
  readonly catalogUrl: string | null
}

export type DataLock = {
  announce(running: RunningPotok): void
  release(): void
}

/** Who only asks whether a potok runs here (`status`, `recompute`) holds the lock for a moment, too. */
const patienceMs = 500

/** Takes the lock or throws AlreadyExists that names the holder. */
export function acquireDataLock(dataDirectory: string): DataLock {
  const lock = tryDataLock(dataDirectory, patienceMs)
  if (lock !== null) return lock
  const holder = readRunning(dataDirectory)
  throw new PotokError(
    'AlreadyExists',
    `a potok is already running on ${dataDirectory}${holder === null ? '' : ` (process ${holder.pid}${holder.url === null ? '' : `, ${holder.url}`})`}: stop it first, or choose another folder with --data`,
  )
}

/** null where another process holds it, and has not let go after so long. */
export function tryDataLock(dataDirectory: string, waitMs = 0): DataLock | null {
  mkdirSync(dataDirectory, { recursive: true })
  const database = new DatabaseSync(join(dataDirectory, 'potok.lock'))
  try {
    database.exec(`PRAGMA busy_timeout = ${waitMs}; BEGIN EXCLUSIVE`)
  } catch (error) {
    database.close()
    if (error instanceof Error && error.message.includes('locked')) return null
    throw error
  }
  const file = join(dataDirectory, 'running.json')
  return {
    announce: (running) => writeFileSync(file, `${JSON.stringify(running)}\n`),
    release: () => {
      rmSync(file, { force: true })
      database.close()
    },
  }
}

/** Who said last that it runs here; meaningful only while the lock is held. */
export function readRunning(dataDirectory: string): RunningPotok | null {
  try {
    return JSON.parse(readFileSync(join(dataDirectory, 'running.json'), 'utf8')) as RunningPotok
  } catch {
    return null
  }
}
