/**
 * Decides what a rebuilt catalog holds, from what `repair-scan.ts` found. Pure: it can be shown before it is
 * done, and is the same when it is.
 *
 * Rules. A table or view is its uuid; of several heads the one is taken that the last readable root names or
 * that builds upon it, then the one with the higher sequence number, then the later one, then the one with the
 * higher version in its file's name. Its name is what that root says, otherwise what its path says. One that
 * the root doesn't name though the root is newer was dropped before, and is left out.
 */
import type { Namespace, TableIdentifier } from '../iceberg/catalog.ts'
import { nameOf } from './catalog-errors.ts'
import { namespaceKey, parseKey, tableKey, viewKey } from './names.ts'
import type { MetadataHead, RepairScan } from './repair-scan.ts'
import type { CatalogEntry } from './root-state.ts'

/** Clocks of servers differ: only what is older than the root by more than this was dropped before it. */
const clockMarginMs = 5 * 60_000

export type RepairChoices = {
  /** Full names (`ns.table`) that stay out, and that come in though the rules leave them out. */
  readonly exclude: ReadonlySet<string>
  readonly include: ReadonlySet<string>
  /** Names by uuid. */
  readonly names: ReadonlyMap<string, TableIdentifier>
}

export type RepairedEntry = {
  readonly kind: 'table' | 'view'
  readonly name: string
  readonly uuid: string
  readonly metadataLocation: string
  readonly nameFrom: 'operator' | 'old root' | 'path'
  readonly reason: string
  /** Other heads of the same uuid that were not taken. */
  readonly notTaken: readonly string[]
}

export type RepairPlan = {
  readonly entries: ReadonlyMap<string, CatalogEntry>
  readonly taken: readonly RepairedEntry[]
  readonly leftOut: readonly (RepairedEntry & { readonly why: string })[]
  readonly namespaces: readonly string[]
  readonly warnings: readonly string[]
}

export function planRepair(
  scan: RepairScan,
  warehouse: string,
  choices: RepairChoices,
): RepairPlan {
  const root = scan.rootCopy
  const warnings: string[] = []
  const known = knownTables(scan, warnings)
  const entries = new Map<string, CatalogEntry>()
  const taken: RepairedEntry[] = []
  const leftOut: (RepairedEntry & { why: string })[] = []
  const candidates = [...headsByUuid(scan.heads)]
    .map(([uuid, heads]) => chosen(heads, known.get(uuid)?.metadataLocation ?? null))
    .toSorted((a, b) => b.head.updatedMs - a.head.updatedMs)

  for (const { head, reason, notTaken } of candidates) {
    const before = known.get(head.uuid)
    const named = nameFor(head, before?.key, warehouse, choices)
    let identifier = named.identifier
    const base = {
      kind: head.kind,
      uuid: head.uuid,
      metadataLocation: head.location,
      nameFrom: named.from,
      reason,
      notTaken,
    }
    const name = nameOf(identifier)
    const why = whyLeftOut(head, name, scan, before !== undefined, choices)
    if (why !== null) {
      leftOut.push({ ...base, name, why })
      continue
    }
    if (entries.has(tableKey(identifier)) || entries.has(viewKey(identifier))) {
      identifier = { ...identifier, name: `${identifier.name}_${head.uuid.slice(0, 8)}` }
      warnings.push(
        `${name} is claimed twice: the one changed later has the name, the other becomes ${nameOf(identifier)}`,
      )
    }
    const key = head.kind === 'table' ? tableKey(identifier) : viewKey(identifier)
    entries.set(key, { kind: head.kind, uuid: head.uuid, metadataLocation: head.location })
    taken.push({ ...base, name: nameOf(identifier) })
  }
  const uuids = new Set(scan.heads.map((head) => head.uuid))
  for (const [uuid, { key, metadataLocation }] of known) {
    if (uuids.has(uuid)) continue
    const name = nameOf(parseKey(key))
    warnings.push(
      `${name} is named by the old root, but no metadata file of it was found (${metadataLocation})`,
    )
  }
  addNamespaces(entries, root?.entries ?? new Map())
  const namespaces = [...entries].flatMap(([key, entry]) =>
    entry.kind === 'namespace' ? [parseKey(key).namespace.join('.')] : [],
  )
  return { entries, taken, leftOut, namespaces, warnings }
}

type KnownTable = { readonly key: string; readonly metadataLocation: string }

/** Tables and views that the old root names, by uuid. */
function knownTables(scan: RepairScan, warnings: string[]): Map<string, KnownTable> {
  const known = new Map<string, KnownTable>()
  for (const [key, entry] of scan.rootCopy?.entries ?? []) {
    if (entry.kind === 'namespace') continue
    const other = known.get(entry.uuid)
    if (other !== undefined) {
      const names = [other.key, key].map((one) => nameOf(parseKey(one)))
      warnings.push(`${names.join(' and ')} are one table: only ${names[1]} is taken`)
    }
    known.set(entry.uuid, { key, metadataLocation: entry.metadataLocation })
  }
  return known
}

function headsByUuid(heads: readonly MetadataHead[]): Map<string, MetadataHead[]> {
  const byUuid = new Map<string, MetadataHead[]>()
  for (const head of heads) {
    const others = byUuid.get(head.uuid) ?? []
    others.push(head)
    byUuid.set(head.uuid, others)
  }
  return byUuid
}

type Rule = readonly [reason: string, value: (head: MetadataHead) => number]

function chosen(
  heads: readonly MetadataHead[],
  inRoot: string | null,
): { head: MetadataHead; reason: string; notTaken: string[] } {
  const rules: readonly Rule[] = [
    ['its snapshot can be read', (head) => (head.flaw === null ? 1 : 0)],
    [
      'it is what the old root names, or builds upon it',
      (head) =>
        head.location === inRoot || (inRoot !== null && head.ancestors.has(inRoot)) ? 1 : 0,
    ],
    ['its sequence number is the highest', (head) => head.sequenceNumber],
    ['it was written last', (head) => head.updatedMs],
    ['the version in its name is the highest', (head) => head.version],
  ]
  let left = heads
  let reason = heads.length === 1 ? 'the only newest one' : 'the last one by name'
  for (const [why, value] of rules) {
    if (left.length === 1) break
    const best = Math.max(...left.map(value))
    const kept = left.filter((head) => value(head) === best)
    if (kept.length < left.length) reason = why
    left = kept
  }
  const head = left.toSorted((a, b) => (a.location < b.location ? 1 : -1))[0] as MetadataHead
  const notTaken = heads.filter((other) => other !== head).map((other) => other.location)
  return { head, reason: head.flaw === null ? reason : `${reason}, but ${head.flaw}`, notTaken }
}

function whyLeftOut(
  head: MetadataHead,
  name: string,
  scan: RepairScan,
  isKnown: boolean,
  choices: RepairChoices,
): string | null {
  if (choices.exclude.has(name)) return 'excluded by --exclude'
  if (choices.include.has(name) || isKnown) return null
  const root = scan.rootCopy
  if (root === null || !root.isWhole) return null
  if (head.updatedMs > root.state.updatedMs - clockMarginMs) return null
  return `dropped: the root of generation ${root.state.generation} is newer and doesn't name it`
}

function nameFor(
  head: MetadataHead,
  key: string | undefined,
  warehouse: string,
  choices: RepairChoices,
): { identifier: TableIdentifier; from: RepairedEntry['nameFrom'] } {
  const given = choices.names.get(head.uuid)
  if (given !== undefined) return { identifier: given, from: 'operator' }
  if (key !== undefined) {
    const { namespace, name } = parseKey(key)
    return { identifier: { namespace, name }, from: 'old root' }
  }
  return { identifier: nameByPath(head, warehouse), from: 'path' }
}

/** `<warehouse>/a/b/t` is `t` in `a.b`; elsewhere the last folder in the one before it. */
function nameByPath(head: MetadataHead, warehouse: string): TableIdentifier {
  const folder = head.folder.replace(/\/+$/, '')
  const isInside = folder.startsWith(`${warehouse}/`)
  const path = isInside ? folder.slice(warehouse.length + 1) : folder.replace(/^[a-z0-9]+:\/+/i, '')
  const parts = path.split('/').filter((part) => part !== '')
  // A table whose folder was taken got a part of its uuid.
  const suffix = `-${head.uuid.slice(0, 8)}`
  const last = parts.at(-1) ?? head.uuid
  const name = last.endsWith(suffix) ? last.slice(0, -suffix.length) : last
  const above = isInside ? parts.slice(0, -1) : parts.slice(-2, -1)
  return { name, namespace: above.length === 0 ? ['recovered'] : above }
}

/** Those of the old root with their properties, and what the tables' names need. */
function addNamespaces(
  entries: Map<string, CatalogEntry>,
  before: ReadonlyMap<string, CatalogEntry>,
): void {
  const add = (namespace: Namespace): void => {
    for (let levels = 1; levels <= namespace.length; levels++) {
      const key = namespaceKey(namespace.slice(0, levels))
      if (!entries.has(key))
        entries.set(key, before.get(key) ?? { kind: 'namespace', properties: {} })
    }
  }
  for (const [key, entry] of before) if (entry.kind === 'namespace') add(parseKey(key).namespace)
  for (const [key, entry] of entries) {
    if (entry.kind !== 'namespace') add(parseKey(key).namespace)
  }
}
