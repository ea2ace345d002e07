/**
 * What the suites download or build once: folders in the user's cache, outside of the repository. A folder is
 * made beside its place and renamed there, so that runs at the same time never see half of one; a run without
 * the cache makes it anew.
 */
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

const leftoverMsMax = 24 * 3_600_000

export function cacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'potok')
}

/** The folder `name` of the cache; where it isn't there yet, `make` fills an empty one, which is then kept. */
export async function cachedFolder(
  name: string,
  make: (path: string) => Promise<void>,
): Promise<string> {
  const target = join(cacheFolder(), name)
  if (existsSync(target)) return target
  const building = `${target}.building-${process.pid}-${Date.now()}`
  await mkdir(cacheFolder(), { recursive: true })
  await removeLeftovers()
  try {
    await mkdir(building)
    await make(building)
    await rename(building, target)
  } catch (error) {
    await rm(building, { recursive: true, force: true })
    // Somebody else's is as good as ours.
    if (!existsSync(target)) throw error
  }
  return target
}

/** What runs that were killed have left. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(cacheFolder())) {
    if (!name.includes('.building-')) continue
    const path = join(cacheFolder(), name)
    const info = await stat(path).catch(() => null)
    if (info !== null && Date.now() - info.mtimeMs > leftoverMsMax) {
      await rm(path, { recursive: true, force: true })
    }
  }
}
