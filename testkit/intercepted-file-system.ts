/**
 * Tells of every call to the file system before it is made, with its number: a test then fails it, skips it,
 * or ends the process. Reading what `opendir` gives is not a call of its own.
 */
import type { FileSystem, OpenFile } from '../adapters/object-store/file-system.ts'

export type FileSystemCall = {
  /** From 1, over all calls. */
  readonly number: number
  readonly name: keyof FileSystem | keyof OpenFile
  readonly path: string
}

/** Throws: the call is not made and fails so. `skip`: it is not made and seems to have succeeded. */
export type Interception = (call: FileSystemCall) => 'run' | 'skip'

export function interceptFileSystem(inner: FileSystem, intercept: Interception): FileSystem {
  let count = 0

  async function call<T>(
    name: FileSystemCall['name'],
    path: string,
    run: () => Promise<T>,
    skipped?: T,
  ): Promise<T> {
    if (intercept({ number: ++count, name, path }) === 'run') return run()
    if (skipped === undefined && name !== 'sync') throw new TypeError(`${name} can't be skipped`)
    return skipped as T
  }

  function openFile(file: OpenFile, path: string): OpenFile {
    return {
      writeFile: (bytes) => call('writeFile', path, () => file.writeFile(bytes)),
      read: (bytes, offset, length, position) =>
        call('read', path, () => file.read(bytes, offset, length, position)),
      stat: () => call('stat', path, () => file.stat()),
      sync: () => call('sync', path, () => file.sync()),
      // Never intercepted: a file that stays open would leak out of the test.
      close: () => file.close(),
    }
  }

  return {
    open: (path, flags) =>
      call('open', path, async () => openFile(await inner.open(path, flags), path)),
    link: (from, to) => call('link', to, () => inner.link(from, to)),
    unlink: (path) => call('unlink', path, () => inner.unlink(path)),
    mkdir: (path, options) => call('mkdir', path, () => inner.mkdir(path, options)),
    readdir: (path) => call('readdir', path, () => inner.readdir(path)),
    opendir: (path) => call('opendir', path, () => inner.opendir(path)),
    readFile: (path) => call('readFile', path, () => inner.readFile(path)),
    stat: (path) => call('stat', path, () => inner.stat(path)),
    copyFile: (from, to, mode) => call('copyFile', to, () => inner.copyFile(from, to, mode)),
  }
}
