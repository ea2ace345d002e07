/**
 * The two ways in which a snapshot replaces manifests of its parent: files go (overwrite, replace, delete), and
 * small manifests become a big one. Entries keep the sequence numbers and the snapshot that added them; what an
 * older snapshot deleted is dropped.
 */
import { PotokError } from '../../kernel/errors.ts'
import { withInheritance } from '../scan/live-files.ts'
import { loadManifests } from '../scan/load-manifests.ts'
import type { DataFile, ManifestEntry, ManifestFile } from '../spec/data-file.ts'
import type { Staging } from './staging.ts'
import { writeManifest } from './write-manifest.ts'

export type RewrittenManifests = {
  readonly manifests: readonly ManifestFile[]
  readonly removed: readonly DataFile[]
  /** Entries looked at, for the summary. */
  readonly entriesProcessed: number
  /** Manifests of the parent that are in it no more. */
  readonly manifestsReplaced: number
}

/**
 * All manifests are read, although the first hit might be the last: a path that is live twice (a fault that
 * other writers have made) must go in both places. CommitConflict names paths that aren't live; nothing has
 * been written then.
 */
export async function removeFiles(
  staging: Staging,
  manifests: readonly ManifestFile[],
  remove: ReadonlySet<string>,
): Promise<RewrittenManifests> {
  const holding = await manifestsHolding(staging, manifests, remove)
  const result: ManifestFile[] = []
  const removed: DataFile[] = []
  let entriesProcessed = 0
  for (const manifest of manifests) {
    if (!holding.has(manifest)) {
      result.push(manifest)
      continue
    }
    const rewritten: ManifestEntry[] = []
    for (const entry of await staging.io.manifests.manifest(manifest)) {
      if (!isLive(entry)) continue
      const resolved = withInheritance(entry, manifest)
      if (remove.has(entry.dataFile.filePath)) {
        removed.push(entry.dataFile)
        rewritten.push({ ...resolved, status: 'deleted', snapshotId: staging.snapshotId })
      } else {
        rewritten.push({ ...resolved, status: 'existing' })
      }
    }
    entriesProcessed += rewritten.length
    result.push(await writeManifest(staging, manifest.partitionSpecId, manifest.content, rewritten))
  }
  return { manifests: result, removed, entriesProcessed, manifestsReplaced: holding.size }
}

async function manifestsHolding(
  staging: Staging,
  manifests: readonly ManifestFile[],
  paths: ReadonlySet<string>,
): Promise<Set<ManifestFile>> {
  const holding = new Set<ManifestFile>()
  const missing = new Set(paths)
  // In portions, so that the entries of a big table are never in memory together.
  const portion = 64
  for (let start = 0; start < manifests.length; start += portion) {
    const part = manifests.slice(start, start + portion)
    const loaded = await loadManifests(staging.io.manifests, part)
    for (const [i, manifest] of part.entries()) {
      for (const entry of loaded[i] as readonly ManifestEntry[]) {
        if (!isLive(entry) || !paths.has(entry.dataFile.filePath)) continue
        holding.add(manifest)
        missing.delete(entry.dataFile.filePath)
      }
    }
  }
  if (missing.size > 0) {
    const named = [...missing].slice(0, 5)
    throw new PotokError(
      'CommitConflict',
      `${missing.size} of the files to remove are not live any more, such as ${named[0]}`,
      { context: { location: staging.metadata.location, missing: missing.size, paths: named } },
    )
  }
  return holding
}

export type MergeSettings = {
  readonly isEnabled: boolean
  readonly minCountToMerge: number
  readonly targetSizeBytes: number
}

export function mergeSettingsOf(properties: Readonly<Record<string, string>>): MergeSettings {
  return {
    isEnabled: properties['commit.manifest-merge.enabled'] !== 'false',
    minCountToMerge: positive(properties, 'commit.manifest.min-count-to-merge', 100),
    targetSizeBytes: positive(properties, 'commit.manifest.target-size-bytes', 8 * 1024 * 1024),
  }
}

/**
 * Which manifests to merge into one: at most one bin per spec and content a commit, so that no commit waits
 * for much. Only manifests of a like size are put together (tiers by powers of 16): the Java client packs
 * everything below the target, so that a table with a commit every 2 s would rewrite its nearly full
 * manifest every few minutes; by tiers an entry is rewritten about three times in its life.
 */
export function planMerges(
  manifests: readonly ManifestFile[],
  settings: MergeSettings,
): ManifestFile[][] {
  if (!settings.isEnabled || settings.minCountToMerge < 2) return []
  const groups = Map.groupBy(
    manifests.filter((manifest) => manifest.manifestLength < settings.targetSizeBytes),
    (manifest) => `${manifest.content} ${manifest.partitionSpecId}`,
  )
  const merges: ManifestFile[][] = []
  for (const group of groups.values()) {
    const tiers = Map.groupBy(group, (manifest) =>
      tierOf(manifest.manifestLength, settings.targetSizeBytes),
    )
    // Smallest manifests first.
    for (const [, tier] of [...tiers].sort(([a], [b]) => b - a)) {
      if (tier.length < settings.minCountToMerge) continue
      const bin: ManifestFile[] = []
      let sizeBytes = 0
      for (const manifest of tier.toSorted((a, b) => a.sequenceNumber - b.sequenceNumber)) {
        if (sizeBytes + manifest.manifestLength > settings.targetSizeBytes && bin.length >= 2) break
        bin.push(manifest)
        sizeBytes += manifest.manifestLength
      }
      merges.push(bin)
      break
    }
  }
  return merges
}

/** 0 for the biggest manifests, 2 for all small ones. */
function tierOf(lengthBytes: number, targetSizeBytes: number): number {
  return Math.min(2, Math.floor(Math.log(targetSizeBytes / lengthBytes) / Math.log(16)))
}

/** One manifest in place of those given, which are of older snapshots. */
export async function mergeManifests(
  staging: Staging,
  manifests: readonly ManifestFile[],
): Promise<{ manifest: ManifestFile; entriesProcessed: number }> {
  const first = manifests[0] as ManifestFile
  const loaded = await loadManifests(staging.io.manifests, manifests)
  const entries: ManifestEntry[] = []
  for (const [i, manifest] of manifests.entries()) {
    for (const entry of loaded[i] as readonly ManifestEntry[]) {
      if (!isLive(entry)) continue
      entries.push({ ...withInheritance(entry, manifest), status: 'existing' })
    }
  }
  const manifest = await writeManifest(staging, first.partitionSpecId, first.content, entries)
  return { manifest, entriesProcessed: entries.length }
}

function isLive(entry: ManifestEntry): boolean {
  return entry.status !== 'deleted'
}

function positive(
  properties: Readonly<Record<string, string>>,
  key: string,
  fallback: number,
): number {
  const text = properties[key]
  if (text === undefined) return fallback
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new PotokError(
      'InvalidInput',
      `the table property ${key} is no positive integer: ${text}`,
    )
  }
  return value
}
