/**
 * What "durable" takes on a local file system: the bytes are fsynced before the name exists, the folder is
 * fsynced after it, and so is the parent of every folder made on the way. The name appears by link(2), which
 * fails where it exists: a new file is there whole or not at all, and never replaces another.
 */
import { constants } from 'node:fs'
import { platform } from 'node:os'
import { dirname } from 'node:path'
import type { FileSystem } from './file-system.ts'
import { errorCode } from './file-system-error.ts'

/** Windows can't open folders; NTFS journals names itself. */
const canSyncFolders = platform() !== 'win32'

export async function writeSynced(fs: FileSystem, path: string, bytes: Uint8Array): Promise<void> {
  const file = await fs.open(path, 'wx')
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

export async function syncFile(fs: FileSystem, path: string): Promise<void> {
  const file = await fs.open(path, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

export async function syncFolder(fs: FileSystem, path: string): Promise<void> {
  if (!canSyncFolders) return
  const folder = await fs.open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/**
 * Gives a synced file its name, durably, and removes the temporary one. Throws EEXIST where the name is taken.
 * `renamed` tells where the name was given but the folder's fsync failed: then the outcome is unknown.
 */
export async function publish(fs: FileSystem, temporary: string, path: string): Promise<void> {
  // CRASH POINT 1: only the temporary file is there; nobody refers to it.
  await fs.link(temporary, path)
  // CRASH POINT 2: the name may or may not survive a power cut; the caller has not been told that it does.
  await syncFolder(fs, dirname(path))
  await unlinkIfThere(fs, temporary)
}

/** As `publish`, from another file system: a copy beside the target, then the same. */
export async function publishCopy(
  fs: FileSystem,
  source: string,
  temporary: string,
  path: string,
): Promise<void> {
  await fs.copyFile(source, temporary, constants.COPYFILE_EXCL)
  await syncFile(fs, temporary)
  await publish(fs, temporary, path)
  await unlinkIfThere(fs, source)
}

export async function unlinkIfThere(fs: FileSystem, path: string): Promise<void> {
  try {
    await fs.unlink(path)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}

/** Makes the folder and whatever is missing above it; each new name is durable when resolved. */
export async function makeFolderDurably(fs: FileSystem, path: string): Promise<void> {
  const firstMade = await fs.mkdir(path, { recursive: true })
  if (firstMade === undefined) return
  for (let made = path; ; made = dirname(made)) {
    await syncFolder(fs, dirname(made))
    if (made === firstMade || made === dirname(made)) return
  }
}
