/** Reading many manifests: bounded concurrency, results in the order of the list. */
import type { ManifestEntry, ManifestFile } from '../spec/data-file.ts'
import type { ManifestCache } from './manifest-cache.ts'

/** Enough to hide an object store's latency, few enough to keep memory bounded. */
const concurrentLoadsMax = 16

export async function loadManifests(
  cache: ManifestCache,
  manifests: readonly ManifestFile[],
): Promise<(readonly ManifestEntry[])[]> {
  const results: (readonly ManifestEntry[])[] = []
  let next = 0
  const worker = async () => {
    while (next < manifests.length) {
      const at = next++
      results[at] = await cache.manifest(manifests[at] as ManifestFile)
    }
  }
  await Promise.all(
    Array.from({ length: Math.min(concurrentLoadsMax, manifests.length) }, () => worker()),
  )
  return results
}
