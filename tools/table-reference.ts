/**
 * Makes docs/reference/tables.md from the definitions. `node tools/table-reference.ts`; `--check` fails where
 * the page is stale.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rejectReasons } from '../kernel/record-block.ts'
import {
  allTables,
  namespaceName,
  summaryCommitIdKey,
  summaryOffsetsKey,
  tableProperties,
} from '../kernel/tables.ts'
import { allViews } from '../kernel/views.ts'

const cell = (text: string) => text.replaceAll('|', '\\|')

const parts = [
  '# Tables',
  `Made from \`kernel/tables.ts\` by \`tools/table-reference.ts\`. Namespace \`${namespaceName}\`, Iceberg format v2, Parquet with zstd. Times are UTC, with microseconds.`,
]
for (const table of allTables) {
  const layout = [
    table.partitionByDayOf === null
      ? 'not partitioned'
      : `partitioned by \`day(${table.partitionByDayOf})\``,
    `sorted by ${table.sortBy.map((name) => `\`${name}\``).join(', ')}`,
  ].join(', ')
  parts.push(
    `## ${table.name}`,
    `${table.doc} It is ${layout}.`,
    [
      '| id | column | type | null | meaning and unit |',
      '|---|---|---|---|---|',
      ...table.columns.map(
        (c) =>
          `| ${c.id} | \`${c.name}\` | ${c.type} | ${c.required ? 'no' : 'yes'} | ${cell(c.doc)} |`,
      ),
    ].join('\n'),
  )
}
parts.push(
  '## Reasons in rejected_events',
  [...rejectReasons, 'log_gap'].map((reason) => `\`${reason}\``).join(', '),
  '## Views',
  allViews
    .map(
      (view) =>
        `- \`${view.name}\`: ${view.columns.map(({ name }) => `\`${name}\``).join(', ')}; SQL in the dialects ${Object.keys(view.sql).join(', ')}`,
    )
    .join('\n'),
  '## Table properties and snapshot summaries of potok',
  [
    '| key | where | meaning |',
    '|---|---|---|',
    `| \`${tableProperties.positionPrefix}<partition>\` | events, rejected_events, rollup_5m | JSON: which log, next offset to read, greatest event time |`,
    `| \`${tableProperties.sealedUntil}\` | rollup_5m | epoch µs: every window that starts before it holds exact rows only |`,
    `| \`${tableProperties.exactSequence}\` | rollup_5m | sequence number of events up to which sealed days are exact |`,
    `| \`${tableProperties.exactSequenceOverrides}\` | rollup_5m | JSON {day: sequence} for days that are ahead of it |`,
    `| \`${summaryOffsetsKey}\` | snapshot summary | JSON {partition: [start, end)} of the log in this commit |`,
    `| \`${summaryCommitIdKey}\` | snapshot summary | id of the commit, by which a lost answer is cleared up |`,
  ].join('\n'),
)
const text = `${parts.join('\n\n')}\n`
const path = join(import.meta.dirname, '..', 'docs', 'reference', 'tables.md')
if (!process.argv.includes('--check')) writeFileSync(path, text)
else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
  console.error('docs/reference/tables.md is stale: node tools/table-reference.ts')
  process.exitCode = 1
}
