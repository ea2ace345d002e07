/**
 * A file system in memory that forgets at a power cut whatever was not synced, as POSIX allows: the bytes of a
 * file are kept by an fsync of the file, its name by an fsync of the folder that holds it, a folder's own name
 * by an fsync of its parent. What was not synced may survive all the same, each part on its own: `cut` chooses.
 */
import type { FileSystem, OpenFile } from '../adapters/object-store/file-system.ts'

type File = { kind: 'file'; bytes: Buffer; synced: Buffer | null }
type Folder = { kind: 'folder'; entries: Map<string, Entry>; synced: Map<string, Entry> }
type Entry = File | Folder

export type PowerCutFileSystem = FileSystem & {
  /** What a machine finds after the cut. `chance` gives numbers in [0, 1). */
  cut(chance: () => number): PowerCutFileSystem
}

export function createPowerCutFileSystem(root: Folder = newFolder()): PowerCutFileSystem {
  function find(path: string): Entry {
    let at: Entry = root
    for (const name of partsOf(path)) {
      if (at.kind !== 'folder') throw failure('ENOTDIR', path)
      const next = at.entries.get(name)
      if (next === undefined) throw failure('ENOENT', path)
      at = next
    }
    return at
  }

  function folderAt(path: string): Folder {
    const found = find(path)
    if (found.kind !== 'folder') throw failure('ENOTDIR', path)
    return found
  }

  function fileAt(path: string): File {
    const found = find(path)
    if (found.kind !== 'file') throw failure('EISDIR', path)
    return found
  }

  function add(path: string, entry: Entry): void {
    const { parent, name } = split(path)
    const folder = folderAt(parent)
    if (folder.entries.has(name)) throw failure('EEXIST', path)
    folder.entries.set(name, entry)
  }

  return {
    async open(path, flags) {
      if (flags === 'wx') add(path, { kind: 'file', bytes: Buffer.alloc(0), synced: null })
      return openEntry(find(path), path)
    },
    async link(from, to) {
      add(to, fileAt(from))
    },
    async unlink(path) {
      fileAt(path)
      const { parent, name } = split(path)
      folderAt(parent).entries.delete(name)
    },
    async mkdir(path) {
      let firstMade: string | undefined
      const parts = partsOf(path)
      for (let depth = 1; depth <= parts.length; depth++) {
        const at = `/${parts.slice(0, depth).join('/')}`
        if (folderAt(split(at).parent).entries.has(parts[depth - 1] as string)) continue
        add(at, newFolder())
        firstMade ??= at
      }
      return firstMade
    },
    async readdir(path) {
      return [...folderAt(path).entries.keys()]
    },
    async opendir(path) {
      const found = [...folderAt(path).entries].map(([name, entry]) => ({
        name,
        isDirectory: () => entry.kind === 'folder',
      }))
      return (async function* () {
        yield* found
      })()
    },
    async readFile(path) {
      return Buffer.from(fileAt(path).bytes)
    },
    async stat(path) {
      const found = find(path)
      const size = found.kind === 'file' ? found.bytes.length : 0
      return { isFile: () => found.kind === 'file', size, mtimeMs: 0 }
    },
    async copyFile(from, to) {
      add(to, { kind: 'file', bytes: Buffer.from(fileAt(from).bytes), synced: null })
    },
    cut(chance) {
      return createPowerCutFileSystem(afterCut(root, chance, new Map()) as Folder)
    },
  }
}

function openEntry(entry: Entry, path: string): OpenFile {
  const file = (): File => {
    if (entry.kind !== 'file') throw failure('EISDIR', path)
    return entry
  }
  return {
    async writeFile(bytes) {
      file().bytes = Buffer.from(bytes)
    },
    async read(bytes, offset, length, position) {
      const part = file().bytes.subarray(position, position + length)
      bytes.set(part, offset)
      return { bytesRead: part.length }
    },
    async stat() {
      return { size: file().bytes.length }
    },
    async sync() {
      if (entry.kind === 'file') entry.synced = Buffer.from(entry.bytes)
      else entry.synced = new Map(entry.entries)
    },
    async close() {
      // Closing makes nothing durable.
    },
  }
}

/** Each unsynced name and each unsynced content is kept, lost, or (content) kept in part. */
function afterCut(entry: Entry, chance: () => number, done: Map<Entry, Entry>): Entry {
  const before = done.get(entry)
  if (before !== undefined) return before
  if (entry.kind === 'file') {
    const bytes = contentAfterCut(entry, chance)
    const file: File = { kind: 'file', bytes, synced: bytes }
    done.set(entry, file)
    return file
  }
  const folder = newFolder()
  done.set(entry, folder)
  for (const name of new Set([...entry.synced.keys(), ...entry.entries.keys()])) {
    const synced = entry.synced.get(name)
    const now = entry.entries.get(name)
    const kept = synced === now || chance() < 0.5 ? synced : now
    if (kept !== undefined) folder.entries.set(name, afterCut(kept, chance, done))
  }
  folder.synced = new Map(folder.entries)
  return folder
}

function contentAfterCut(file: File, chance: () => number): Buffer {
  const synced = file.synced ?? Buffer.alloc(0)
  if (synced.equals(file.bytes)) return synced
  const choice = chance()
  if (choice < 0.4) return synced
  if (choice < 0.6) return file.bytes
  return file.bytes.subarray(0, Math.floor(file.bytes.length * chance()))
}

function newFolder(): Folder {
  return { kind: 'folder', entries: new Map(), synced: new Map() }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '')
}

function split(path: string): { parent: string; name: string } {
  const parts = partsOf(path)
  return { name: parts.at(-1) ?? '', parent: `/${parts.slice(0, -1).join('/')}` }
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
