/**
 * ObjectStore in memory, for tests: the same promises as the real ones, and a hook in front of and behind
 * every call through which a test makes it fail, wait, or lose the answer of what it did.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { PotokError } from '../../kernel/errors.ts'
import type { ObjectStore } from '../../kernel/ports.ts'

export type ObjectStoreCall = 'read' | 'write' | 'stat' | 'list' | 'delete' | 'adopt'

export type ObjectStoreFaults = {
  /** Throws: the call did nothing. May wait. */
  before?: (call: ObjectStoreCall, location: string) => void | Promise<void>
  /** Throws: the call did its work, the answer is lost. */
  after?: (call: ObjectStoreCall, location: string) => void | Promise<void>
}

export type MemoryObjectStore = ObjectStore & {
  readonly objects: ReadonlyMap<string, { bytes: Uint8Array; modifiedMs: number }>
  readonly faults: ObjectStoreFaults
  /** Puts an object there as it is, replacing what was: what a broken store or a vandal would do. */
  plant(location: string, bytes: Uint8Array): void
  /** Removes the folder on the local disk that `localPath` and `stagingPath` use. */
  close(): Promise<void>
}

export function createMemoryObjectStore(
  options: { faults?: ObjectStoreFaults; nowMs?: () => number } = {},
): MemoryObjectStore {
  const objects = new Map<string, { bytes: Uint8Array; modifiedMs: number }>()
  const faults: ObjectStoreFaults = options.faults ?? {}
  const nowMs = options.nowMs ?? Date.now
  let folder: Promise<string> | null = null
  let stagingCount = 0

  function localFolder(): Promise<string> {
    folder ??= mkdtemp(join(tmpdir(), 'potok-memory-store-'))
    return folder
  }

  async function call<T>(kind: ObjectStoreCall, location: string, run: () => T): Promise<T> {
    await faults.before?.(kind, location)
    const result = run()
    await faults.after?.(kind, location)
    return result
  }

  function get(location: string): { bytes: Uint8Array; modifiedMs: number } {
    const found = objects.get(location)
    if (found === undefined) {
      throw new PotokError('NotFound', `could not read ${location}: it does not exist`)
    }
    return found
  }

  function put(location: string, bytes: Uint8Array): void {
    if (objects.has(location)) {
      throw new PotokError('AlreadyExists', `could not write ${location}: it exists already`)
    }
    objects.set(location, { bytes: bytes.slice(), modifiedMs: nowMs() })
  }

  function statOf(location: string) {
    const found = objects.get(location)
    if (found === undefined) return null
    return { location, sizeBytes: found.bytes.length, modifiedMs: found.modifiedMs }
  }

  return {
    objects,
    faults,
    plant(location, bytes) {
      objects.set(location, { bytes: bytes.slice(), modifiedMs: nowMs() })
    },
    read(location, range) {
      return call('read', location, () => {
        const { bytes } = get(location)
        if (range === undefined) return bytes.slice()
        const end = range.byteOffset + range.lengthBytes
        if (end > bytes.length) {
          throw new PotokError('DataCorrupt', `${location} is shorter than what refers to it says`)
        }
        return bytes.slice(range.byteOffset, end)
      })
    },
    write(location, bytes) {
      return call('write', location, () => put(location, bytes))
    },
    stat(location) {
      return call('stat', location, () => statOf(location))
    },
    async *list(prefix) {
      const found = await call('list', prefix, () =>
        [...objects.keys()].filter((location) => location.startsWith(prefix)),
      )
      for (const location of found) {
        const stat = statOf(location)
        if (stat !== null) yield stat
      }
    },
    async delete(locations) {
      for (const location of locations) {
        await call('delete', location, () => objects.delete(location))
      }
    },
    async adopt(localPath, location) {
      const bytes = await readFile(localPath)
      const result = await call('adopt', location, () => {
        put(location, bytes)
        return statOf(location)
      })
      await rm(localPath)
      if (result === null) throw new PotokError('DataCorrupt', `${location} has gone`)
      return result
    },
    async localPath(location) {
      const path = join(await localFolder(), `read-${stagingCount++}-${basename(location)}`)
      await writeFile(path, get(location).bytes)
      return path
    },
    async stagingPath(location) {
      return join(await localFolder(), `stage-${stagingCount++}-${basename(location)}`)
    },
    async close() {
      if (folder !== null) await rm(await folder, { recursive: true, force: true })
      folder = null
    },
  }
}
