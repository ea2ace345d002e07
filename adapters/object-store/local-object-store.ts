/**
 * ObjectStore over a folder of this machine.
 *
 * Invariants: an object is there whole or not at all; what `write` or `adopt` resolved survives a power cut;
 * no object is ever replaced. Temporary files lie in `<root>/.potok-staging` (without a root, or where the
 * root's file system is another, beside their target), are invisible to `list`, and after a crash are garbage
 * that `removeLeftovers` takes away.
 */
import { randomUUID } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { PotokError } from '../../kernel/errors.ts'
import type { ObjectStat, ObjectStore } from '../../kernel/ports.ts'
import {
  makeFolderDurably,
  publish,
  publishCopy,
  syncFile,
  syncFolder,
  unlinkIfThere,
  writeSynced,
} from './durable-files.ts'
import { locationOfPath, pathOfLocation } from './file-location.ts'
import { type FileSystem, nodeFileSystem } from './file-system.ts'
import { errorCode, fileSystemError } from './file-system-error.ts'

const stagingFolderName = '.potok-staging'
const temporaryPrefix = '.potok-tmp-'
const knownFoldersMax = 10_000
const deletesAtOnce = 16

export type LocalObjectStore = ObjectStore & {
  /** Removes temporary files that a crash left, not touched for so long. Gives their number. */
  removeLeftovers(options: { nowMs: number; olderThanMs: number }): Promise<number>
}

export function createLocalObjectStore(
  options: { root?: string; fs?: FileSystem } = {},
): LocalObjectStore {
  const fs = options.fs ?? nodeFileSystem
  const root = options.root === undefined ? null : pathOfLocation(options.root).replace(/\/+$/, '')
  /** Folders that this process knows to be durable. Full: it forgets all and asks the disk again. */
  const knownFolders = new Set<string>()

  function stagingFolderFor(path: string): string {
    return root !== null && path.startsWith(`${root}/`)
      ? join(root, stagingFolderName)
      : dirname(path)
  }

  /** Another process may have made the folder without having synced its name yet: sync once ourselves. */
  async function ensureFolder(folder: string): Promise<void> {
    if (knownFolders.has(folder)) return
    await makeFolderDurably(fs, folder)
    if (root !== null && folder.startsWith(`${root}/`)) {
      for (let at = folder; at !== root && !knownFolders.has(at); at = dirname(at)) {
        await syncFolder(fs, dirname(at))
      }
    }
    if (knownFolders.size >= knownFoldersMax) knownFolders.clear()
    knownFolders.add(folder)
  }

  /** Runs it again where a folder believed to be there has gone. */
  async function withFolders<T>(folders: readonly string[], run: () => Promise<T>): Promise<T> {
    for (const folder of folders) await ensureFolder(folder)
    try {
      return await run()
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error
      for (const folder of folders) knownFolders.delete(folder)
      for (const folder of folders) await ensureFolder(folder)
      return run()
    }
  }

  async function writeVia(staging: string, path: string, bytes: Uint8Array): Promise<void> {
    await withFolders([staging, dirname(path)], async () => {
      const temporary = temporaryPath(staging, path)
      try {
        await writeSynced(fs, temporary, bytes)
        await publish(fs, temporary, path)
      } catch (error) {
        await unlinkIfThere(fs, temporary).catch(() => undefined)
        throw error
      }
    })
  }

  return {
    async read(location, range) {
      const path = pathOfLocation(location)
      try {
        const file = await fs.open(path, 'r')
        try {
          const sizeBytes = (await file.stat()).size
          const byteOffset = range?.byteOffset ?? 0
          const lengthBytes = range?.lengthBytes ?? sizeBytes
          const bytes = new Uint8Array(lengthBytes)
          for (let done = 0; done < lengthBytes; ) {
            const { bytesRead } = await file.read(
              bytes,
              done,
              lengthBytes - done,
              byteOffset + done,
            )
            if (bytesRead === 0) {
              throw new PotokError(
                'DataCorrupt',
                `${path} is shorter than what refers to it says`,
                {
                  context: { path, sizeBytes, byteOffset, lengthBytes },
                },
              )
            }
            done += bytesRead
          }
          return bytes
        } finally {
          await file.close()
        }
      } catch (error) {
        throw fileSystemError(error, 'read', path)
      }
    },

    async write(location, bytes) {
      const path = pathOfLocation(location)
      try {
        try {
          await writeVia(stagingFolderFor(path), path, bytes)
        } catch (error) {
          if (errorCode(error) !== 'EXDEV') throw error
          await writeVia(dirname(path), path, bytes)
        }
      } catch (error) {
        throw fileSystemError(error, 'write', path)
      }
    },

    async stat(location) {
      return statPath(fs, pathOfLocation(location))
    },

    async *list(prefix) {
      const isFolder = prefix.endsWith('/')
      const path = pathOfLocation(prefix)
      yield* walk(fs, isFolder ? path.replace(/\/+$/, '') || '/' : dirname(path), path)
    },

    async delete(locations) {
      const paths = locations.map(pathOfLocation)
      for (let i = 0; i < paths.length; i += deletesAtOnce) {
        await Promise.all(
          paths.slice(i, i + deletesAtOnce).map(async (path) => {
            try {
              await unlinkIfThere(fs, path)
            } catch (error) {
              if (errorCode(error) === 'ENOTDIR') return
              throw fileSystemError(error, 'delete', path)
            }
          }),
        )
      }
    },

    async adopt(localPath, location) {
      const path = pathOfLocation(location)
      try {
        await syncFile(fs, localPath)
        await withFolders([dirname(path)], async () => {
          try {
            await publish(fs, localPath, path)
          } catch (error) {
            if (errorCode(error) !== 'EXDEV') throw error
            await publishCopy(fs, localPath, temporaryPath(dirname(path), path), path)
          }
        })
      } catch (error) {
        throw fileSystemError(error, `move ${localPath} to`, path)
      }
      const found = await statPath(fs, path)
      if (found === null) {
        throw new PotokError('DataCorrupt', `${path} was written and has gone`, {
          context: { path },
        })
      }
      return found
    },

    async localPath(location) {
      return pathOfLocation(location)
    },

    async stagingPath(location) {
      const path = pathOfLocation(location)
      const folder = stagingFolderFor(path)
      try {
        // An engine writes there by itself, so a folder that has gone must be noticed here.
        knownFolders.delete(folder)
        await ensureFolder(folder)
      } catch (error) {
        throw fileSystemError(error, 'make the folder', folder)
      }
      return temporaryPath(folder, path)
    },

    async removeLeftovers({ nowMs, olderThanMs }) {
      if (root === null) return 0
      let removed = 0
      for await (const found of walkAll(fs, join(root, stagingFolderName))) {
        if (nowMs - found.modifiedMs < olderThanMs) continue
        await unlinkIfThere(fs, pathOfLocation(found.location))
        removed++
      }
      return removed
    },
  }
}

async function* entriesOf(
  fs: FileSystem,
  folder: string,
): AsyncGenerator<{ name: string; isFolder: boolean }> {
  try {
    for await (const entry of await fs.opendir(folder)) {
      yield { name: entry.name, isFolder: entry.isDirectory() }
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return
    throw fileSystemError(error, 'list', folder)
  }
}

function temporaryPath(folder: string, path: string): string {
  return join(folder, `${temporaryPrefix}${randomUUID()}-${basename(path).slice(-120)}`)
}

async function statPath(fs: FileSystem, path: string): Promise<ObjectStat | null> {
  try {
    const found = await fs.stat(path)
    if (!found.isFile()) return null
    return {
      location: locationOfPath(path),
      sizeBytes: found.size,
      modifiedMs: Math.trunc(found.mtimeMs),
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return null
    throw fileSystemError(error, 'look at', path)
  }
}

async function* walk(fs: FileSystem, folder: string, prefix: string): AsyncGenerator<ObjectStat> {
  for await (const entry of entriesOf(fs, folder)) {
    if (entry.name === stagingFolderName || entry.name.startsWith(temporaryPrefix)) continue
    const path = folder === '/' ? `/${entry.name}` : `${folder}/${entry.name}`
    if (entry.isFolder) {
      const asFolder = `${path}/`
      if (asFolder.startsWith(prefix) || prefix.startsWith(asFolder)) yield* walk(fs, path, prefix)
    } else if (path.startsWith(prefix)) {
      const found = await statPath(fs, path)
      if (found !== null) yield found
    }
  }
}

async function* walkAll(fs: FileSystem, folder: string): AsyncGenerator<ObjectStat> {
  for await (const entry of entriesOf(fs, folder)) {
    const found = entry.isFolder ? null : await statPath(fs, `${folder}/${entry.name}`)
    if (found !== null) yield found
  }
}
