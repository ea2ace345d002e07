/**
 * `potok catalog repair`: shows what a catalog rebuilt from the metadata files in the warehouse would hold, and
 * with --apply makes it so. Exit code 0: the root is whole, or was repaired; 3: it would be changed.
 */
import { Option } from 'commander'
import type { TableIdentifier } from '../../iceberg/catalog.ts'
import {
  type CatalogRepair,
  createCatalogRepair,
  type RepairInspection,
} from '../../catalog/repair.ts'
import type { RepairChoices, RepairedEntry } from '../../catalog/repair-plan.ts'
import { PotokError } from '../../kernel/errors.ts'
import { readRunning, tryDataLock } from '../data-lock.ts'
import { createGenerationFile } from '../generation-file.ts'
import { openInstallation } from '../installation.ts'
import { listSetting, type Settings } from '../settings.ts'
import { type CommandDefinition, note, print, toJson } from './command.ts'

const exitWouldChange = 3

export const catalogRepairCommand: CommandDefinition = {
  usage: 'repair',
  description:
    'Rebuild a lost, torn or outdated catalog root from the metadata files; shows what it would do, exit 3',
  options: [
    new Option('--apply', 'Do it; the old root is kept beside the new one'),
    new Option('--rebuild', 'Also where the root is whole'),
    new Option(
      '--exclude <names...>',
      'Tables and views (namespace.name) to leave out: dropped ones',
    ),
    new Option('--include <names...>', 'Those to take in though they seem to have been dropped'),
    new Option(
      '--name <uuid=name...>',
      'Names (uuid=namespace.name) where the path tells a wrong one',
    ),
    new Option(
      '--beside-running <why>',
      'Why it is safe though a potok runs on this data; nothing else lets it',
    ),
  ],
  settings: ['warehouseAllow'],
  run: async ({ settings, options }) => {
    const choices = choicesOf(options)
    const installation = openInstallation(settings, 'catalog', {
      existing: settings.warehouse === '',
    })
    const { uri } = installation.catalogAccess
    if (uri !== null) {
      throw new PotokError(
        'InvalidInput',
        `the tables are in another catalog (${uri}): only potok's own can be repaired here`,
      )
    }
    const release = lockOrRefuse(installation.data, options['besideRunning'])
    try {
      const { storage, warehouse, data } = installation
      const repair = createCatalogRepair({
        ...installation,
        root: storage.root,
        warehouseLocation: warehouse,
        allowedLocations: listSetting(settings.warehouseAllow),
        generationMemory: createGenerationFile(data, warehouse),
      })
      return await run(repair, choices, { settings, options, warehouse })
    } finally {
      release()
    }
  },
}

async function run(
  repair: CatalogRepair,
  choices: RepairChoices,
  input: { settings: Settings; options: Readonly<Record<string, unknown>>; warehouse: string },
): Promise<number> {
  const { settings, options, warehouse } = input
  const inspection = await repair.inspect(choices)
  const isDue = inspection.condition !== 'whole' || options['rebuild'] === true
  const isApplied = isDue && options['apply'] === true
  if (isApplied && inspection.plan.entries.size === 0 && options['rebuild'] !== true) {
    throw new PotokError(
      'InvalidInput',
      `no metadata file was found in ${warehouse}: check --warehouse and --warehouse-allow; an empty catalog is made with --rebuild`,
    )
  }
  const result = isApplied ? await repair.apply(inspection) : null
  if (settings.json) print(toJson({ ...reportOf(inspection, warehouse), isDue, applied: result }))
  else if (isDue) print(describe(inspection, warehouse))
  else
    print(`The catalog's root is whole (generation ${inspection.generation}): nothing to repair.`)
  if (result !== null) {
    note(
      `The catalog is at generation ${result.generation} now.` +
        (result.kept === null ? '' : ` What was there is kept in ${result.kept}`),
    )
  } else if (isDue) note('Nothing was changed. --apply does it.')
  return isDue && !isApplied ? exitWouldChange : 0
}

function lockOrRefuse(data: string, why: unknown): () => void {
  const lock = tryDataLock(data)
  if (lock !== null) return () => lock.release()
  if (typeof why === 'string' && why.trim() !== '') {
    note(`A potok runs on ${data}; going on because: ${why}`)
    return () => undefined
  }
  const holder = readRunning(data)
  throw new PotokError(
    'AlreadyExists',
    `a potok is running on ${data}${holder === null ? '' : ` (process ${holder.pid})`}: stop it first, or say with --beside-running why it is safe`,
  )
}

function choicesOf(options: Readonly<Record<string, unknown>>): RepairChoices {
  const names = new Map<string, TableIdentifier>()
  for (const text of wordsOf(options['name'])) {
    const [uuid, name] = text.split('=')
    const parts = (name ?? '').split('.')
    if (uuid === undefined || parts.length < 2 || parts.includes('')) {
      throw new PotokError('InvalidInput', `--name ${text}: write UUID=namespace.name`)
    }
    names.set(uuid, { namespace: parts.slice(0, -1), name: parts.at(-1) as string })
  }
  return {
    exclude: new Set(wordsOf(options['exclude'])),
    include: new Set(wordsOf(options['include'])),
    names,
  }
}

function wordsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((word) => typeof word === 'string') : []
}

function reportOf(inspection: RepairInspection, warehouse: string): object {
  const { condition, generation, generationSeen, scan, plan } = inspection
  const copy = scan.rootCopy
  return {
    warehouse,
    root: condition,
    generation,
    generationSeen,
    oldRoot: copy === null ? null : { location: copy.location, generation: copy.state.generation },
    metadataFiles: scan.metadataFiles,
    taken: plan.taken,
    leftOut: plan.leftOut,
    namespaces: plan.namespaces,
    warnings: plan.warnings,
    unreadable: scan.unreadable,
  }
}

function describe(inspection: RepairInspection, warehouse: string): string {
  const { condition, generation, generationSeen, scan, plan } = inspection
  const copy = scan.rootCopy
  const lines = [
    `Catalog of ${warehouse}`,
    `Its root: ${condition}${generation === null ? '' : `, generation ${generation}`}; the highest generation known of is ${generationSeen}.`,
    copy === null
      ? 'No copy of a root can be read: names are taken from paths.'
      : `Names and dropped tables are taken from ${copy.location} (generation ${copy.state.generation}${copy.isWhole ? '' : ', in part'}).`,
    `${scan.metadataFiles} metadata files were found. The catalog would hold:`,
    ...plan.taken.flatMap((entry) => describeEntry(entry, null)),
  ]
  if (plan.leftOut.length > 0) {
    lines.push('Left out (--include NAME takes one in):')
    lines.push(...plan.leftOut.flatMap((entry) => describeEntry(entry, entry.why)))
  }
  lines.push(`Namespaces: ${plan.namespaces.join(', ')}`)
  lines.push(...plan.warnings.map((warning) => `Warning: ${warning}`))
  lines.push(...scan.unreadable.map(({ location, why }) => `Can't be read: ${location}: ${why}`))
  if (plan.taken.some((entry) => entry.nameFrom === 'path')) {
    lines.push(
      'Check before --apply: names "by path" are wrong where a table was renamed or has a location of its own',
      '(--name UUID=namespace.name), and tables that were dropped without purge are in this list, too',
      '(--exclude NAME). Properties of namespaces are lost where no copy of the root has them.',
    )
  }
  if (copy !== null && copy.state.generation < generationSeen) {
    lines.push(
      `What was renamed, dropped or given properties after generation ${copy.state.generation} is not known: check names, and leave out what was dropped (--exclude NAME).`,
    )
  }
  lines.push('Stop every potok that serves this warehouse, on other machines, too, before --apply.')
  return lines.join('\n')
}

function describeEntry(entry: RepairedEntry, why: string | null): string[] {
  const file = entry.metadataLocation.slice(entry.metadataLocation.lastIndexOf('/') + 1)
  const from = entry.nameFrom === 'path' ? 'by path' : `by ${entry.nameFrom}`
  return [
    `  ${entry.kind} ${entry.name} (${from}; ${entry.uuid})`,
    `      ${file}: ${why ?? entry.reason}`,
    ...entry.notTaken.map((location) => `      not taken: ${location}`),
  ]
}
