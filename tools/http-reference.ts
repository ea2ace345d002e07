/**
 * Makes docs/reference/http-api.md from the contract. `node tools/http-reference.ts`; `--check` fails where
 * the page is stale.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jsonSchema } from '../api/contract/openapi.ts'
import { type Operation, operations } from '../api/contract/operations.ts'
import { rangeDaysMax } from '../api/contract/time-parameters.ts'

type Schema = {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly additionalProperties?: unknown
}

const tags = {
  speeds: 'Mean speeds',
  cameras: 'Cameras',
  exactness: 'Exactness',
  operation: 'Operation',
  intake: 'Intake',
} as const

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

function typeOf(schema: Schema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(' or ')
  if (schema.enum !== undefined)
    return schema.enum.map((value) => `\`${String(value)}\``).join(', ')
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`
  return [schema.type ?? 'anything'].flat().join(' or ')
}

/** Members, one a row; those of nested objects as `total.event_count`, of lists as `windows[].start`. */
function rowsOf(schema: Schema, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    const path = `${prefix}${name}`
    const inner = member.anyOf?.find((each) => each.properties !== undefined) ?? member
    const nested =
      inner.type === 'array' ? rowsOf(inner.items ?? {}, `${path}[].`) : rowsOf(inner, `${path}.`)
    const shown = inner.properties === undefined ? typeOf(member) : 'object'
    const type = inner.type === 'array' && inner.items?.properties ? 'list of objects' : shown
    return [`| \`${path}\` | ${cell(type)} | ${cell(member.description ?? '')} |`, ...nested]
  })
}

function section(operation: Operation): string {
  const parts = [`### ${operation.method.toUpperCase()} ${operation.path}`, `${operation.summary}.`]
  const parameters = [operation.params, operation.query].flatMap((part) => {
    if (part === undefined) return []
    const schema = jsonSchema(part, 'input') as Schema
    return Object.entries(schema.properties ?? {}).map(([name, member]) => {
      const need = schema.required?.includes(name) === true ? 'yes' : 'no'
      return `| \`${name}\` | ${need} | ${cell(member.description ?? typeOf(member))} |`
    })
  })
  if (parameters.length > 0) {
    parts.push(['| parameter | required | meaning |', '|---|---|---|', ...parameters].join('\n'))
  }
  if (operation.body !== undefined) {
    const schema = jsonSchema(operation.body, 'input') as Schema
    const types = (operation.bodyTypes ?? ['application/json']).join(', ')
    parts.push(
      `Body (${types})${schema.description === undefined ? '' : `: ${schema.description}`}.`,
      ['| member | type | meaning |', '|---|---|---|', ...rowsOf(schema, '')].join('\n'),
    )
  }
  parts.push(
    [
      '| status | meaning |',
      '|---|---|',
      ...Object.entries(operation.answers).map(
        ([status, { what }]) => `| ${status} | ${cell(what)} |`,
      ),
    ].join('\n'),
  )
  const success = Object.entries(operation.answers).find(([status]) => status.startsWith('2'))?.[1]
  if (success?.schema !== undefined) {
    const schema = jsonSchema(success.schema, 'output') as Schema
    const rows = rowsOf(schema, '')
    if (schema.description !== undefined) parts.push(`${schema.description}.`)
    if (rows.length > 0) {
      parts.push(['| member of the answer | type | meaning |', '|---|---|---|', ...rows].join('\n'))
    }
  }
  return parts.join('\n\n')
}

const rules = `## Rules

- **Windows** are tumbling, \`[start, end)\`. In an answer are those whose start is in [\`from\`, \`to\`), whole, also where the last ends after \`to\`; \`from\` is rounded down to the interval. Hours and days are cut in \`tz\`: a day has 23, 24 or 25 hours there, and is as exact as a UTC day, being made of 5-minute windows. All times in answers are UTC.
- **Windows without events are left out**: never an average of 0. A total without events has averages \`null\`.
- **One answer covers at most** ${rangeDaysMax['5m']} days of 5m, ${rangeDaysMax['1h']} days of 1h, ${rangeDaysMax['24h']} days of 24h; more is 400 and names the limit.
- **Time stamps** in queries are RFC 3339 with a zone, or a date, which is the start of that day in \`tz\`. A \`+\` that nobody encoded arrives as a space and is understood.
- **avg_speed** is the time-mean speed Σv/n, **space_mean_speed** n/Σ(1/v) of what moved (at least 1 km/h). Sums are integers; numbers are rounded to 0.001 at the very end.
- **Status of a 5-minute window**: \`open\` while its end is not yet behind the watermark of its camera's log partition (greatest event time less the allowed lateness), then \`provisional\`, \`exact\` once an exact run has computed it, \`revising\` while newer late events of that camera and day wait for the next run.
- **Status of an hour or a day**: where all of it is sealed, \`revising\` if any of its 5-minute windows is, else \`exact\`; where some of it isn't, \`open\` while its end is not behind the watermark, then \`provisional\`. Its \`revision\` is the greatest of its parts, \`source_snapshot_id\` that of the part computed last, \`computed_at\` the latest.
- **Status of a day in /v1/days** goes by the most advanced log partition: an idle one doesn't hold a day open.
- **Errors** are problem+json (RFC 9457): \`type\`, \`title\`, \`status\`, \`detail\`, and \`parameter\` where one is to blame. 503 carries \`Retry-After\`.
- **Caching**: answers of \`avg-speed\` carry a weak \`ETag\` made from their text but for \`as_of\`; ask with \`If-None-Match\` and get 304 until a window of this answer changes, whatever else is committed. It is the same from every process and after a restart.
- **Freshness**: the API asks the catalog four times a second what changed. Day cubes are kept in memory up to a limit (\`--cube-cache-mib\`); beyond it the least recently used go and are read again when asked for. A day whose cube alone is larger is read camera by camera.`

const parts = [
  '# HTTP API',
  'Made from `api/contract/` by `tools/http-reference.ts`; the same contract is served as `/openapi.json` and validates requests.',
  rules,
]
for (const [tag, title] of Object.entries(tags)) {
  parts.push(`## ${title}`)
  for (const operation of operations) if (operation.tag === tag) parts.push(section(operation))
}
const text = `${parts.join('\n\n')}\n`
const path = join(import.meta.dirname, '..', 'docs', 'reference', 'http-api.md')
if (!process.argv.includes('--check')) writeFileSync(path, text)
else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
  console.error('docs/reference/http-api.md is stale: node tools/http-reference.ts')
  process.exitCode = 1
}
