/**
 * Local copies of objects that engines read by path: a folder with a size limit that all processes and threads
 * of a machine share. Objects are immutable, so a copy is right or absent, never stale.
 *
 * Invariants
 * - A file has its name only when it is whole and synced; every copy has a name of its own, never used again.
 * - What was given out stays for `leaseMs` at least, even above the limit: an engine opens its paths later, and
 *   nobody says when it is done. Deleting takes the row away only where it was not given out since; the row is
 *   what gives a file out, so the two can't cross, whichever process they are in.
 * - Above the limit the files unused for longest go first.
 *
 * The index is SQLite in the same folder. All of it may be deleted while nothing runs.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { type FileHandle, open, readdir, rename, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { describeError, PotokError } from '../../kernel/errors.ts'
import { unlinkIfThere } from './durable-files.ts'
import { nodeFileSystem } from './file-system.ts'
import { errorCode, fileSystemError } from './file-system-error.ts'

export type S3FileCache = {
  /** The path of the copy; `download` fills it where there is none. */
  get(location: string, download: (file: FileHandle) => Promise<number>): Promise<string>
  /** Takes a file of this disk as the copy of an object just uploaded. It is gone from where it was. */
  take(location: string, path: string, sizeBytes: number): Promise<void>
  /** A fresh path beside the copies, for what is written before it is uploaded. */
  stagingPath(location: string): string
  /** Removes what crashes left: files not touched for so long that no row names. */
  removeLeftovers(olderThanMs: number): Promise<void>
  close(): void
}

const leaseMsDefault = 30 * 60_000
const downloadsAtOnce = 8
/** Rows looked at in one turn of making room. */
const evictionRows = 64
const nameTailMax = 80

type Row = { readonly name: string; readonly size_bytes: number }

export function createS3FileCache(options: {
  folder: string
  sizeBytesMax: number
  nowMs: () => number
  leaseMs?: number
}): S3FileCache {
  const { folder, sizeBytesMax, nowMs } = options
  const leaseMs = options.leaseMs ?? leaseMsDefault
  const underWay = new Map<string, Promise<string>>()
  const gate = createGate(downloadsAtOnce)
  let index: Index | null = null

  function opened(): Index {
    index ??= openIndex(folder)
    return index
  }

  function freshName(prefix: string, location: string): string {
    return `${prefix}${randomUUID()}-${basename(location).slice(-nameTailMax)}`
  }

  /** The file of a row that is marked as used now, where both are there. */
  async function give(location: string): Promise<string | null> {
    const row = opened().use.get(nowMs(), location) as Row | undefined
    if (row === undefined) return null
    const path = join(folder, row.name)
    try {
      const { size } = await stat(path)
      if (size === row.size_bytes) return path
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw fileSystemError(error, 'look at', path)
    }
    // Somebody tidied up by hand.
    opened().remove.run(row.name, Number.MAX_SAFE_INTEGER)
    await unlinkIfThere(nodeFileSystem, path)
    return null
  }

  /** Another process may have been faster: then its copy is the one. */
  async function enter(location: string, name: string, sizeBytes: number): Promise<string> {
    for (;;) {
      if (opened().insert.run(location, name, sizeBytes, nowMs()).changes > 0) break
      const theirs = await give(location)
      if (theirs === null) continue
      await unlinkIfThere(nodeFileSystem, join(folder, name))
      return theirs
    }
    await makeRoom()
    return join(folder, name)
  }

  async function makeRoom(): Promise<void> {
    for (;;) {
      const { total } = opened().total.get() as { total: number }
      if (total <= sizeBytesMax) return
      const before = nowMs() - leaseMs
      const rows = opened().oldest.all(before, evictionRows) as Row[]
      if (rows.length === 0) return
      let excess = total - sizeBytesMax
      for (const row of rows) {
        if (excess <= 0) return
        excess -= row.size_bytes
        // CRASH POINT: a file without a row is left; `removeLeftovers` takes it away.
        if (opened().remove.run(row.name, before).changes > 0) {
          await unlinkIfThere(nodeFileSystem, join(folder, row.name))
        }
      }
    }
  }

  async function fill(
    location: string,
    download: (file: FileHandle) => Promise<number>,
  ): Promise<string> {
    const name = freshName('', location)
    const temporary = join(folder, `tmp-${name}`)
    try {
      const file = await open(temporary, 'wx')
      let sizeBytes: number
      try {
        sizeBytes = await download(file)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(temporary, join(folder, name))
      return await enter(location, name, sizeBytes)
    } catch (error) {
      await unlinkIfThere(nodeFileSystem, temporary).catch(() => undefined)
      throw errorCode(error) === undefined ? error : fileSystemError(error, 'write', temporary)
    }
  }

  return {
    async get(location, download) {
      const found = await give(location)
      if (found !== null) return found
      let filling = underWay.get(location)
      if (filling === undefined) {
        filling = gate(() => fill(location, download)).finally(() => underWay.delete(location))
        underWay.set(location, filling)
      }
      return await filling
    },

    async take(location, path, sizeBytes) {
      const name = freshName('', location)
      try {
        opened()
        const file = await open(path, 'r+')
        try {
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(path, join(folder, name))
        await enter(location, name, sizeBytes)
      } catch (error) {
        // Only a copy: the object is in the store. From another disk it isn't worth the copying.
        if (errorCode(error) === undefined) throw error
        await unlinkIfThere(nodeFileSystem, path)
      }
    },

    stagingPath(location) {
      opened()
      return join(folder, freshName('tmp-', location))
    },

    async removeLeftovers(olderThanMs) {
      const named = new Set((opened().names.all() as Row[]).map(({ name }) => name))
      for (const name of await readdir(folder)) {
        if (named.has(name) || name.startsWith(indexName)) continue
        const path = join(folder, name)
        const found = await stat(path).catch(() => null)
        if (found !== null && nowMs() - found.mtimeMs > olderThanMs)
          await unlinkIfThere(nodeFileSystem, path)
      }
    },

    close() {
      index?.database.close()
      index = null
    },
  }
}

type Index = {
  readonly database: DatabaseSync
  readonly use: StatementSync
  readonly insert: StatementSync
  readonly remove: StatementSync
  readonly total: StatementSync
  readonly oldest: StatementSync
  readonly names: StatementSync
}

const indexName = 'index.sqlite'

function openIndex(folder: string): Index {
  try {
    mkdirSync(folder, { recursive: true })
    return openDatabase(folder)
  } catch (cause) {
    throw new PotokError(
      'Unavailable',
      `the local copies in ${folder} can not be used: ${describeError(cause)}; the folder may be deleted while no potok runs on it`,
      { context: { folder }, cause },
    )
  }
}

function openDatabase(folder: string): Index {
  const database = new DatabaseSync(join(folder, indexName))
  // With the write-ahead log a power cut may lose the last rows, and harms nothing else.
  database.exec(`PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS copies (location TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,
      size_bytes INTEGER NOT NULL, used_ms INTEGER NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS copies_by_use ON copies (used_ms);`)
  return {
    database,
    use: database.prepare(
      'UPDATE copies SET used_ms = ? WHERE location = ? RETURNING name, size_bytes',
    ),
    insert: database.prepare(
      'INSERT INTO copies (location, name, size_bytes, used_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
    ),
    remove: database.prepare('DELETE FROM copies WHERE name = ? AND used_ms < ?'),
    total: database.prepare('SELECT coalesce(sum(size_bytes), 0) AS total FROM copies'),
    oldest: database.prepare(
      'SELECT name, size_bytes FROM copies WHERE used_ms < ? ORDER BY used_ms LIMIT ?',
    ),
    names: database.prepare('SELECT name FROM copies'),
  }
}

/** At most so many at a time; the others wait in order. */
function createGate(places: number): <T>(run: () => Promise<T>) => Promise<T> {
  let free = places
  const waiting: (() => void)[] = []
  return async (run) => {
    if (free > 0) free--
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await run()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free++
      else next()
    }
  }
}
