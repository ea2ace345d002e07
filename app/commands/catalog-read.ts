/**
 * `potok catalog read NS.TABLE`: rows of any table of the catalog, whichever engine wrote it, with its deletes
 * applied; now, or as a snapshot, a time, a branch or a tag has it. As tab-separated lines, or with --json as
 * one JSON object a line. Rows are printed as they come, in no promised order.
 */
import { Option } from 'commander'
import { createDuckDbTableReader } from '../../adapters/duckdb/duckdb-table-reader.ts'
import type { TableIdentifier } from '../../iceberg/catalog.ts'
import { stringifyJson } from '../../iceberg/codec/lossless-json.ts'
import { parseValue, valueToJson } from '../../iceberg/codec/value-text.ts'
import { parseFilter } from '../../iceberg/scan/parse-filter.ts'
import { type SnapshotSelector, selectSnapshot } from '../../iceberg/scan/select-snapshot.ts'
import type { Schema, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import type { ReadRequest, RowBatch } from '../../iceberg/table-reader.ts'
import { PotokError } from '../../kernel/errors.ts'
import { openInstallation } from '../installation.ts'
import { openEngine } from '../roles.ts'
import { type CommandDefinition, note } from './command.ts'

export const catalogReadCommand: CommandDefinition = {
  usage: 'read <table>',
  description: 'Print rows of a table (NAMESPACE.TABLE), whichever engine wrote it',
  options: [
    new Option('--columns <names>', 'Columns, comma-separated; default all'),
    new Option(
      '--where <filter>',
      `Rows that pass: "speed > 90 and (name like 'KV%' or name is null)"`,
    ),
    new Option('--snapshot <id>', 'As this snapshot has it').conflicts(['asOf', 'ref']),
    new Option('--as-of <time>', 'As it was at this time, RFC 3339').conflicts(['ref']),
    new Option('--ref <name>', 'As this branch or tag has it'),
    new Option('--limit <n>', 'At most so many rows'),
  ],
  settings: ['engineMemoryMib'],
  run: async ({ settings, options, words }) => {
    const identifier = identifierOf(words[0] ?? '')
    const limit = limitOf(options['limit'])
    const snapshot = selectorOf(options)
    const installation = openInstallation(settings, 'catalog', { existing: true })
    const duckdb = await openEngine(installation, 2)
    try {
      const { metadata } = await installation.catalog.loadTable(identifier)
      const reader = createDuckDbTableReader({ ...installation, duckdb })
      const scan = await reader.open(metadata, requestOf(metadata, snapshot, options))
      const count = await printRows(scan.schema, scan.batches(), limit, settings.json)
      note(`${count} rows of ${words[0]}, snapshot ${scan.snapshotId ?? 'none'}`)
    } finally {
      duckdb.close()
      await installation.catalog.close()
    }
    return 0
  },
}

function identifierOf(text: string): TableIdentifier {
  const parts = text.split('.')
  const name = parts.pop() ?? ''
  if (parts.length === 0 || [...parts, name].includes('')) {
    throw new PotokError('InvalidInput', `name the table as NAMESPACE.TABLE, not ${text}`)
  }
  return { namespace: parts, name }
}

function requestOf(
  metadata: TableMetadata,
  snapshot: SnapshotSelector | undefined,
  options: Readonly<Record<string, unknown>>,
): ReadRequest {
  const { columns, where } = options
  const { schema } = selectSnapshot(metadata, snapshot)
  return {
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(typeof columns === 'string' ? { columns: columns.split(',') } : {}),
    ...(typeof where === 'string' ? { filter: parseFilter(schema, where) } : {}),
  }
}

function selectorOf(options: Readonly<Record<string, unknown>>): SnapshotSelector | undefined {
  const { snapshot, asOf, ref } = options
  if (typeof snapshot === 'string') {
    if (!/^\d{1,20}$/.test(snapshot)) {
      throw new PotokError('InvalidInput', `--snapshot: ${snapshot} is no snapshot id`)
    }
    return { snapshotId: BigInt(snapshot) }
  }
  if (typeof asOf === 'string') {
    return { asOfMs: Math.floor(Number(parseValue('timestamptz', asOf)) / 1_000) }
  }
  return typeof ref === 'string' ? { ref } : undefined
}

function limitOf(text: unknown): number {
  if (typeof text !== 'string') return Number.POSITIVE_INFINITY
  const limit = Number(text)
  if (!Number.isSafeInteger(limit) || limit < 0) {
    throw new PotokError('InvalidInput', `--limit: ${text} is no count of rows`)
  }
  return limit
}

async function printRows(
  schema: Schema,
  batches: AsyncIterable<RowBatch>,
  limit: number,
  asJson: boolean,
): Promise<number> {
  // A closed pipe is answered by `write`; as an event it would end the process.
  process.stdout.on('error', ignore)
  if (!asJson) await write(`${schema.fields.map(({ name }) => cellText(name)).join('\t')}\n`)
  let count = 0
  if (limit === 0) return count
  for await (const batch of batches) {
    const lines: string[] = []
    for (let row = 0; row < batch.rowCount && count < limit; row++, count++) {
      const values = schema.fields.map(({ type }, i) =>
        valueToJson(type, batch.columns[i]?.[row] ?? null),
      )
      lines.push(
        asJson
          ? stringifyJson(Object.fromEntries(schema.fields.map(({ name }, i) => [name, values[i]])))
          : values.map(cellText).join('\t'),
      )
    }
    if (!(await write(`${lines.join('\n')}\n`)) || count >= limit) break
  }
  return count
}

/** Text as it is where it can't be taken for something else: null is NULL, a text with a tab is quoted. */
function cellText(value: unknown): string {
  if (value === null) return 'NULL'
  if (typeof value !== 'string') return stringifyJson(value)
  return /[\t\n\r"\\]/.test(value) || value === 'NULL' ? JSON.stringify(value) : value
}

function ignore(): void {}

/**
 * Waits where the reader of the pipe is slower: rows don't pile up here. false: it has closed the pipe (`| head`)
 * and wants no more.
 */
async function write(text: string): Promise<boolean> {
  try {
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(text, (error) => {
        if (error === null || error === undefined) resolve()
        else reject(error)
      })
    })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EPIPE') return false
    throw error
  }
}
