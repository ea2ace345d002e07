/**
 * Events from a file for `potok replay`: CSV or NDJSON, gzipped or not, from the disk or stdin (`-`).
 *
 * Two shapes, named by a mapping: `wide` (one row per time step, one column per detector: the column's name
 * is the `kvfv_id`) and `narrow` (one row per event, its columns or fields under any names). Without a mapping
 * the file has potok's own field names. What a mapping cannot convert in one row (a speed that is no number)
 * is passed on as it stands: the gateway refuses it by name and keeps it in `rejected_events`. A mapping that
 * does not fit the file as a whole is InvalidInput at its first row.
 *
 * Memory: one chunk of the file at a time.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { parse } from 'csv-parse'
import { DateTime, IANAZone } from 'luxon'
import { z } from 'zod'
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'

const kmhPerMph = 1.609344
const lineEnd = /\r?\n/
const rowsPerBatch = 256
const lineLengthMax = 16 * 1024 * 1024

const unitSchema = z.enum(['km/h', 'mph'])
const zoneSchema = z.string().refine((zone) => IANAZone.isValidZone(zone), 'is no IANA time zone')

const wideSchema = z.strictObject({
  format: z.literal('wide'),
  /** Local time of the first row, in `timeZone`. */
  start: z.string(),
  /** Time from one row to the next. */
  stepSeconds: z.number().positive(),
  timeZone: zoneSchema,
  unit: unitSchema,
})

const narrowSchema = z.strictObject({
  format: z.literal('narrow'),
  /** Default: by the file's name, else NDJSON where the first character is `{`. */
  input: z.enum(['csv', 'ndjson']).optional(),
  delimiter: z.string().length(1).optional(),
  /** Where the fields that potok knows are to be found. Others go along under their own names. */
  fields: z
    .strictObject({
      kvfv_id: z.string(),
      timestamp: z.string(),
      vehicle_speed: z.string(),
      plate_number: z.string(),
      event_id: z.string(),
    })
    .partial()
    .optional(),
  /** Of epoch numbers; left out, `timestamp` is text. */
  epoch: z.enum(['s', 'ms', 'us']).optional(),
  /** Of texts without zone. */
  timeZone: zoneSchema.optional(),
  unit: unitSchema.optional(),
})

const mappingSchema = z.discriminatedUnion('format', [wideSchema, narrowSchema])
export type ReplayMapping = z.infer<typeof mappingSchema>
type WideMapping = z.infer<typeof wideSchema>
type NarrowMapping = z.infer<typeof narrowSchema>

/** One event as the intake takes it. */
export type ReplayEvent = { readonly kvfvId: string; readonly line: string }

export type ReplaySource = {
  /** Of the file as it lies on the disk; null for stdin. */
  readonly totalBytes: number | null
  readBytes(): number
  /** In the order of the file, some at a time: a generator that gives one by one costs more than the rest. */
  batches(): AsyncGenerator<ReplayEvent[]>
}

export function parseReplayMapping(text: string): ReplayMapping {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new PotokError('InvalidInput', `the mapping is no JSON: ${describeError(error)}`)
  }
  const parsed = mappingSchema.safeParse(json)
  if (!parsed.success) {
    throw new PotokError('InvalidInput', `the mapping is wrong: ${z.prettifyError(parsed.error)}`)
  }
  if (parsed.data.format === 'wide') startOf(parsed.data)
  return parsed.data
}

export async function openReplaySource(options: {
  /** A path, or `-` for stdin. */
  readonly file: string
  readonly stdin?: Readable
  readonly mapping?: ReplayMapping
}): Promise<ReplaySource> {
  const mapping: ReplayMapping = options.mapping ?? { format: 'narrow' }
  const raw = options.file === '-' ? options.stdin : await openFile(options.file)
  if (raw === undefined) throw new PotokError('InvalidInput', 'there is no stdin to read from')
  let readBytes = 0
  const totalBytes = options.file === '-' ? null : (await stat(options.file)).size
  async function* batches(): AsyncGenerator<ReplayEvent[]> {
    try {
      const { text, first } = await openText(raw as Readable, (count) => {
        readBytes += count
      })
      if (mapping.format === 'wide') yield* wideEvents(text, mapping)
      else if (isNdjson(options.file, mapping, first)) yield* ndjsonEvents(text, mapping)
      else yield* csvEvents(text, mapping)
    } catch (error) {
      throw readError(options.file, error)
    }
  }
  return { totalBytes, readBytes: () => readBytes, batches }
}

async function openFile(file: string): Promise<Readable> {
  const found = await stat(file).catch((error: unknown) => {
    throw new PotokError('NotFound', `can't read ${file}: ${describeError(error)}`, {
      cause: error,
    })
  })
  if (!found.isFile()) throw new PotokError('InvalidInput', `${file} is no file`)
  return createReadStream(file, { highWaterMark: 256 * 1024 })
}

/** Inflates what begins like gzip, whatever its name; `first` is the first character that is no space. */
async function openText(
  raw: Readable,
  onBytes: (count: number) => void,
): Promise<{ text: Readable; first: string }> {
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of raw) {
      const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk as string)
      onBytes(bytes.length)
      yield bytes
    }
  }
  const [head, whole] = await peek(counted())
  if (!(head[0] === 0x1f && head[1] === 0x8b)) return { text: whole, first: firstCharacter(head) }
  const inflated = createGunzip()
  whole.on('error', (error) => inflated.destroy(error))
  const [text, plain] = await peek(whole.pipe(inflated))
  return { text: plain, first: firstCharacter(text) }
}

async function peek(chunks: AsyncIterable<Buffer>): Promise<[Buffer, Readable]> {
  const iterator = chunks[Symbol.asyncIterator]()
  const first = await iterator.next()
  const head = first.done === true ? Buffer.alloc(0) : first.value
  async function* all(): AsyncGenerator<Buffer> {
    yield head
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      yield next.value
    }
  }
  return [head, Readable.from(all(), { objectMode: false })]
}

function firstCharacter(bytes: Buffer): string {
  return bytes
    .toString('utf8', 0, 100)
    .replace(/^\uFEFF/, '')
    .trimStart()
    .slice(0, 1)
}

function isNdjson(file: string, mapping: NarrowMapping, first: string): boolean {
  if (mapping.input !== undefined) return mapping.input === 'ndjson'
  if (/\.csv(\.gz)?$/i.test(file)) return false
  return /\.(ndjson|jsonl|json)(\.gz)?$/i.test(file) || first === '{'
}

// ---- wide ----------------------------------------------------------------------------------------

function startOf(mapping: WideMapping): DateTime {
  const start = DateTime.fromISO(mapping.start, { zone: mapping.timeZone })
  if (!start.isValid) {
    throw new PotokError('InvalidInput', `the mapping's start ${mapping.start} is no time`)
  }
  return start
}

async function* wideEvents(text: Readable, mapping: WideMapping): AsyncGenerator<ReplayEvent[]> {
  const start = startOf(mapping)
  let ids: { kvfvId: string; json: string }[] | undefined
  let row = 0
  for await (const cells of csvRows(text, ',')) {
    if (ids === undefined) {
      ids = wideHeader(cells)
      continue
    }
    // Steps are elapsed time: where the clock of the zone jumps, the rows don't.
    const at = start.plus({ milliseconds: row * mapping.stepSeconds * 1_000 })
    const timestamp = JSON.stringify(at.toISO({ suppressMilliseconds: true }))
    row++
    const batch: ReplayEvent[] = []
    for (let i = 0; i < ids.length; i++) {
      const cell = (cells[i] as string).trim()
      if (cell === '') continue
      const { kvfvId, json } = ids[i] as { kvfvId: string; json: string }
      const speed = JSON.stringify(toKmh(cell, mapping.unit))
      batch.push({
        kvfvId,
        line: `{"kvfv_id":${json},"timestamp":${timestamp},"vehicle_speed":${speed}}`,
      })
    }
    yield batch
  }
  if (row === 0) throw new PotokError('InvalidInput', 'the file has no rows')
}

function wideHeader(cells: readonly string[]): { kvfvId: string; json: string }[] {
  const names = cells.map((cell) => cell.trim())
  const twice = names.find((name, i) => name === '' || names.indexOf(name) !== i)
  if (twice !== undefined) {
    throw new PotokError(
      'InvalidInput',
      twice === ''
        ? 'a column of the wide table has no name, and the name is the camera'
        : `the wide table has the column ${twice} twice`,
    )
  }
  return names.map((kvfvId) => ({ kvfvId, json: JSON.stringify(kvfvId) }))
}

/** Speed in km/h, to 0.001 where it was converted; what is no number stays what it is. */
function toKmh(value: unknown, unit: 'km/h' | 'mph'): unknown {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof number !== 'number' || !Number.isFinite(number)) return value
  return unit === 'mph' ? Math.round(number * kmhPerMph * 1_000) / 1_000 : number
}

// ---- narrow --------------------------------------------------------------------------------------

const canonical = ['kvfv_id', 'timestamp', 'vehicle_speed', 'plate_number', 'event_id'] as const

async function* csvEvents(text: Readable, mapping: NarrowMapping): AsyncGenerator<ReplayEvent[]> {
  let header: string[] | undefined
  let batch: ReplayEvent[] = []
  for await (const cells of csvRows(text, mapping.delimiter ?? ',')) {
    if (header === undefined) {
      header = cells.map((cell) => cell.trim())
      assertColumns(header, mapping)
      continue
    }
    const row: Record<string, unknown> = {}
    header.forEach((name, i) => {
      const cell = cells[i] as string
      if (cell !== '') row[name] = cell
    })
    batch.push(toEvent(row, mapping))
    if (batch.length < rowsPerBatch) continue
    yield batch
    batch = []
  }
  yield batch
}

function assertColumns(header: readonly string[], mapping: NarrowMapping): void {
  for (const field of canonical) {
    const column = mapping.fields?.[field] ?? field
    const needed = mapping.fields?.[field] !== undefined || canonical.indexOf(field) < 3
    if (needed && !header.includes(column)) {
      throw new PotokError(
        'InvalidInput',
        `the file has no column ${column} for ${field}; it has ${header.slice(0, 20).join(', ')}`,
      )
    }
  }
}

async function* ndjsonEvents(
  text: Readable,
  mapping: NarrowMapping,
): AsyncGenerator<ReplayEvent[]> {
  const asIs =
    mapping.fields === undefined &&
    mapping.epoch === undefined &&
    mapping.timeZone === undefined &&
    mapping.unit !== 'mph'
  for await (const lines of linesOf(text)) {
    yield lines.map((line) => {
      const row = parseObject(line)
      if (row !== null && !asIs) return toEvent(row, mapping)
      return { kvfvId: typeof row?.['kvfv_id'] === 'string' ? row['kvfv_id'] : '', line }
    })
  }
}

/** Non-blank lines, a chunk's worth at a time. A file that breaks off gives no half line. */
async function* linesOf(text: Readable): AsyncGenerator<string[]> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of text) {
    const lines = `${rest}${decoder.decode(chunk as Buffer, { stream: true })}`.split(lineEnd)
    rest = lines.pop() as string
    if (rest.length > lineLengthMax) {
      throw new PotokError('InvalidInput', `a line is longer than ${lineLengthMax} characters`)
    }
    yield lines.filter(isText)
  }
  yield `${rest}${decoder.decode()}`.split(lineEnd).filter(isText)
}

function isText(line: string): boolean {
  return line.trim() !== ''
}

function parseObject(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

function toEvent(row: Record<string, unknown>, mapping: NarrowMapping): ReplayEvent {
  const rest = { ...row }
  const event: Record<string, unknown> = {}
  for (const field of canonical) {
    const name = mapping.fields?.[field] ?? field
    const value = row[name]
    delete rest[name]
    if (value === undefined) continue
    if (field === 'timestamp') event[field] = toTimestamp(value, mapping)
    else if (field === 'vehicle_speed') event[field] = toKmh(value, mapping.unit ?? 'km/h')
    else event[field] = field === 'kvfv_id' && typeof value === 'number' ? String(value) : value
  }
  Object.assign(event, rest)
  const kvfvId = typeof event['kvfv_id'] === 'string' ? event['kvfv_id'] : ''
  return { kvfvId, line: JSON.stringify(event) }
}

/** RFC 3339 where the mapping says how; else as it stands. */
function toTimestamp(value: unknown, mapping: NarrowMapping): unknown {
  if (mapping.epoch !== undefined) {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
    if (typeof number !== 'number' || !Number.isFinite(number)) return value
    return epochToText(number, mapping.epoch) ?? value
  }
  if (mapping.timeZone === undefined || typeof value !== 'string') return value
  const text = value.trim().replace(' ', 'T')
  if (/(z|[+-]\d{2}:?\d{2})$/i.test(text)) return value
  const at = DateTime.fromISO(text, { zone: mapping.timeZone })
  if (!at.isValid) return value
  // Digits beyond milliseconds are the file's own.
  const fraction = /\.(\d{1,6})/.exec(text)?.[0] ?? ''
  return `${at.toFormat("yyyy-MM-dd'T'HH:mm:ss")}${fraction}${at.toFormat('ZZ')}`
}

function epochToText(number: number, epoch: 's' | 'ms' | 'us'): string | null {
  const us = Math.round(epoch === 's' ? number * 1e6 : epoch === 'ms' ? number * 1e3 : number)
  const ms = Math.floor(us / 1_000)
  if (Math.abs(ms) > 8.64e15) return null
  const micros = us - ms * 1_000
  const iso = new Date(ms).toISOString()
  return micros === 0 ? iso : `${iso.slice(0, -1)}${String(micros).padStart(3, '0')}Z`
}

// ---- reading -------------------------------------------------------------------------------------

async function* csvRows(text: Readable, delimiter: string): AsyncGenerator<string[]> {
  const parser = parse({ bom: true, delimiter, skip_empty_lines: true })
  text.on('error', (error) => parser.destroy(error))
  for await (const row of text.pipe(parser)) yield row as string[]
}

function readError(file: string, error: unknown): unknown {
  if (isPotokError(error)) return error
  const { code, lines } = error as { code?: string; lines?: number }
  if (code?.startsWith('CSV_') === true) {
    return new PotokError('InvalidInput', `${file}, line ${lines ?? 0}: ${describeError(error)}`)
  }
  if (code?.startsWith('Z_') === true) {
    return new PotokError('InvalidInput', `${file} is damaged: ${describeError(error)}`)
  }
  return new PotokError('Unavailable', `can't read ${file}: ${describeError(error)}`, {
    cause: error,
  })
}
