/**
 * RootObject in a folder: generation n is the file `root-<n>`, made by link(2) from a synced temporary file,
 * which fails where somebody else's n is there already.
 *
 * Invariants
 * - The highest generation is the root. It never falls while a process looks on; if it does, somebody put an
 *   old copy back: DataCorrupt.
 * - Of the older generations the last `generationsKept` stay, so a name can be free again only when the root
 *   is that much further on. A swap that finds itself so far behind says "unknown", never "won": whoever was
 *   paused between looking and linking can't fork history.
 * - A file opens with a line that carries its generation, length and SHA-256. A torn one is DataCorrupt: no
 *   silent fall back to the generation before, which would lose acknowledged commits.
 *
 * It needs a file system with atomic link(2) and fsync of folders: a local one, not NFS with soft mounts.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { PotokError } from '../../kernel/errors.ts'
import type { RootObject } from '../../kernel/ports.ts'
import { makeFolderDurably, syncFolder, unlinkIfThere, writeSynced } from './durable-files.ts'
import { type FileSystem, nodeFileSystem } from './file-system.ts'
import { errorCode, fileSystemError } from './file-system-error.ts'
import { decodeRootFile, encodeRootFile, tornRoot } from './root-file.ts'

const generationsKept = 16
const readAttemptsMax = 20
const namePattern = /^root-(\d{1,15})$/
const temporaryPattern = /^\.root-tmp-(\d{1,15})-/

export function createLocalRootObject(options: { directory: string; fs?: FileSystem }): RootObject {
  const { directory, fs = nodeFileSystem } = options
  let generationSeen = 0
  /** Up to here names are known to be durable, whoever made them. */
  let generationSynced = 0

  function nameOf(generation: number): string {
    return join(directory, `root-${generation}`)
  }

  /** The highest generation, 0 where there is none. */
  async function newestGeneration(): Promise<{ newest: number; names: string[] }> {
    // Looks may come back out of order: only what was seen before this one began can prove a step back.
    const seenBefore = generationSeen
    let names: string[]
    try {
      names = await fs.readdir(directory)
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw fileSystemError(error, 'list', directory)
      names = []
    }
    let newest = 0
    for (const name of names) {
      const match = namePattern.exec(name)
      if (match !== null) newest = Math.max(newest, Number(match[1]))
    }
    if (newest < seenBefore) {
      throw new PotokError(
        'DataCorrupt',
        newest === 0
          ? `the catalog's root object in ${directory} has gone (generation ${seenBefore} was there)`
          : `the catalog's root object in ${directory} went back from generation ${seenBefore} to ${newest}: an old copy was put back`,
        { context: { directory, generationSeen: seenBefore, newest } },
      )
    }
    generationSeen = Math.max(generationSeen, newest)
    return { newest, names }
  }

  /** Nobody is told of a swap, not by a read either, that a power cut could still undo. */
  async function syncUpTo(generation: number): Promise<void> {
    if (generation <= generationSynced) return
    await syncFolder(fs, directory)
    generationSynced = Math.max(generationSynced, generation)
  }

  /** Older generations and what crashes left. Best effort: another process may do the same. */
  async function removeOld(newest: number, names: readonly string[]): Promise<void> {
    for (const name of names) {
      // A temporary file for a generation that far back can't win any more.
      const match = namePattern.exec(name) ?? temporaryPattern.exec(name)
      const isOld = match !== null && Number(match[1]) <= newest - generationsKept
      if (isOld) await unlinkIfThere(fs, join(directory, name)).catch(() => undefined)
    }
  }

  return {
    async read() {
      try {
        for (let attempt = 0; attempt < readAttemptsMax; attempt++) {
          const { newest } = await newestGeneration()
          if (newest === 0) return null
          await syncUpTo(newest)
          try {
            const path = nameOf(newest)
            const file = await fs.readFile(path)
            const { bytes, mark } = decodeRootFile(file, path)
            if (mark !== markOf(newest)) throw tornRoot(path, file.length)
            return { bytes, version: String(newest) }
          } catch (error) {
            // Swapped on and cleaned away between looking and opening.
            if (errorCode(error) !== 'ENOENT') throw error
          }
        }
      } catch (error) {
        throw fileSystemError(error, 'read the catalog root in', directory)
      }
      throw new PotokError(
        'Unavailable',
        `the catalog root in ${directory} changes too fast to read`,
      )
    },

    async version() {
      const { newest } = await newestGeneration()
      return newest === 0 ? null : String(newest)
    },

    async swap(expected, bytes) {
      const next = generationOf(expected) + 1
      const temporary = join(directory, `.root-tmp-${next}-${randomUUID()}`)
      try {
        await makeFolderDurably(fs, directory)
        if ((await newestGeneration()).newest >= next) return { won: false }
        await writeSynced(fs, temporary, encodeRootFile(bytes, markOf(next)))
      } catch (error) {
        await unlinkIfThere(fs, temporary).catch(() => undefined)
        // Nothing was published: definite, though not a lost race.
        throw fileSystemError(error, 'write the catalog root in', directory)
      }
      try {
        // CRASH POINT 1: a temporary file is left; nobody reads it.
        await fs.link(temporary, nameOf(next))
      } catch (error) {
        await unlinkIfThere(fs, temporary).catch(() => undefined)
        if (errorCode(error) === 'EEXIST') return { won: false }
        throw unknown(error, directory)
      }
      try {
        // CRASH POINT 2: the swap is visible, perhaps not durable; nobody was told that it is in.
        await syncUpTo(next)
        await unlinkIfThere(fs, temporary)
        const { newest, names } = await newestGeneration()
        if (newest >= next + generationsKept) {
          await unlinkIfThere(fs, nameOf(next))
          throw new Error(`the root is at generation ${newest} already, this swap was for ${next}`)
        }
        // CRASH POINT 3: durable and visible, the caller hasn't heard: it finds its id in the history.
        await removeOld(newest, names)
      } catch (error) {
        throw unknown(error, directory)
      }
      return { won: true, version: String(next) }
    },
  }
}

function generationOf(version: string | null): number {
  if (version === null) return 0
  const generation = Number(version)
  if (!Number.isSafeInteger(generation) || generation < 1) {
    throw new PotokError('InvalidInput', `not a version of a root object: ${version}`)
  }
  return generation
}

function unknown(cause: unknown, directory: string): PotokError {
  return new PotokError(
    'CommitStateUnknown',
    `the swap of the catalog root in ${directory} may or may not be in`,
    { context: { directory }, cause },
  )
}

function markOf(generation: number): string {
  return `generation=${generation}`
}
