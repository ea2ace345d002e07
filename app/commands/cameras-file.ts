/**
 * Reads files of cameras for `potok cameras import`: CSV with a header (comma, semicolon or tab), or GeoJSON
 * with a point per camera. Every error names its line (CSV) or feature (GeoJSON) and the field; all that are
 * found are told at once, and nothing of a file with errors is imported. Pure: the caller reads the bytes.
 */
import { parse } from 'csv-parse/sync'
import type { CameraFacts } from '../../api/cameras/camera-facts.ts'
import { factsOf } from '../../api/cameras/camera-input.ts'
import { cameraImportBody } from '../../api/contract/schemas.ts'
import { isPotokError, PotokError } from '../../kernel/errors.ts'

const inputSchema = cameraImportBody.shape.cameras.element
const fields = Object.keys(inputSchema.shape)
const numbers = new Set(['latitude', 'longitude', 'speed_limit', 'lanes'])
/** Other names that such files have. */
const aliases: Readonly<Record<string, string>> = {
  id: 'kvfv_id',
  camera: 'kvfv_id',
  camera_id: 'kvfv_id',
  lat: 'latitude',
  lon: 'longitude',
  lng: 'longitude',
  tz: 'time_zone',
  timezone: 'time_zone',
  limit: 'speed_limit',
}
const errorsMax = 20

export function parseCamerasFile(text: string): CameraFacts[] {
  const body = text.replace(/^\uFEFF/, '')
  const trimmed = body.trimStart()
  if (trimmed === '') throw invalid(['the file is empty'])
  return trimmed.startsWith('{') ? parseGeoJson(body) : parseCsv(body)
}

type Found = { readonly place: string; readonly values: Record<string, unknown> }

function parseCsv(text: string): CameraFacts[] {
  const firstLine = text.slice(0, text.search(/\r?\n|$/))
  const delimiter = [',', ';', '\t'].reduce((best, each) =>
    firstLine.split(each).length > firstLine.split(best).length ? each : best,
  )
  let rows: { record: string[]; info: { lines: number } }[]
  try {
    rows = parse(text, {
      delimiter,
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
      trim: true,
    }) as unknown as typeof rows
  } catch (cause) {
    throw new PotokError('InvalidInput', `not CSV: ${(cause as Error).message}`, { cause })
  }
  const header = (rows[0]?.record ?? []).map(fieldOf)
  const errors = headerErrors(header)
  if (errors.length > 0) throw invalid(errors)
  const found: Found[] = []
  for (const { record, info } of rows.slice(1)) {
    const place = `line ${info.lines}`
    if (record.length !== header.length) {
      errors.push(`${place}: ${record.length} fields, the header has ${header.length}`)
      continue
    }
    const values: Record<string, unknown> = {}
    for (const [i, name] of header.entries()) values[name] = csvValue(name, record[i] as string)
    found.push({ place, values })
  }
  return checked(found, errors)
}

function headerErrors(header: readonly string[]): string[] {
  const errors = header
    .filter((name) => !fields.includes(name))
    .map((name) => `line 1: unknown column "${name}"; known are ${fields.join(', ')}`)
  const twice = header.find((name, i) => header.indexOf(name) !== i)
  if (twice !== undefined) errors.push(`line 1: column "${twice}" comes twice`)
  if (!header.includes('kvfv_id')) errors.push('line 1: no column kvfv_id')
  return errors
}

function fieldOf(name: string): string {
  const lower = name.trim().toLowerCase().replaceAll(/[ -]/g, '_')
  return aliases[lower] ?? lower
}

function csvValue(name: string, text: string): unknown {
  if (text === '') return name === 'kvfv_id' ? '' : null
  if (!numbers.has(name)) return text
  // What is no number stays text: then the check says so, with the field's name.
  return /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

function parseGeoJson(text: string): CameraFacts[] {
  let file: unknown
  try {
    file = JSON.parse(text)
  } catch (cause) {
    throw new PotokError('InvalidInput', `not JSON: ${(cause as Error).message}`, { cause })
  }
  const { type, features } = file as { type?: unknown; features?: unknown }
  if (type !== 'FeatureCollection' || !Array.isArray(features)) {
    throw invalid([`not GeoJSON: expected a FeatureCollection, got type ${JSON.stringify(type)}`])
  }
  const errors: string[] = []
  const found = features.flatMap((feature, i): Found[] => {
    const place = `feature ${i + 1}`
    const { geometry, properties, id } = (feature ?? {}) as {
      geometry?: { type?: unknown; coordinates?: unknown } | null
      properties?: Record<string, unknown> | null
      id?: unknown
    }
    const values: Record<string, unknown> = {}
    for (const [name, value] of Object.entries(properties ?? {})) values[fieldOf(name)] = value
    if (values['kvfv_id'] === undefined && id !== undefined) values['kvfv_id'] = id
    if (typeof values['kvfv_id'] === 'number') values['kvfv_id'] = String(values['kvfv_id'])
    if (geometry != null) {
      const [longitude, latitude] = Array.isArray(geometry.coordinates) ? geometry.coordinates : []
      if (
        geometry.type !== 'Point' ||
        typeof longitude !== 'number' ||
        typeof latitude !== 'number'
      ) {
        errors.push(`${place}: geometry is ${String(geometry.type)}, expected a Point with numbers`)
        return []
      }
      Object.assign(values, { latitude, longitude })
    }
    return [{ place, values }]
  })
  return checked(found, errors)
}

function checked(found: readonly Found[], errors: string[]): CameraFacts[] {
  const rows: CameraFacts[] = []
  for (const { place, values } of found) {
    const result = inputSchema.safeParse(values)
    if (result.success) {
      try {
        rows.push(factsOf(result.data))
      } catch (error) {
        if (!isPotokError(error)) throw error
        errors.push(`${place}: ${error.message.replace(/^parameter /, 'field ')}`)
      }
      continue
    }
    for (const issue of result.error.issues) {
      const name = issue.code === 'unrecognized_keys' ? issue.keys.join(', ') : issue.path.join('.')
      const given = values[name]
      const shown = given === undefined ? '' : ` (${JSON.stringify(given)})`
      errors.push(
        `${place}: field ${name}${shown}: ${issue.message.replace(/^Invalid input: /, '')}`,
      )
    }
  }
  if (errors.length > 0) throw invalid(errors)
  if (rows.length === 0) throw invalid(['the file holds no camera'])
  return rows
}

function invalid(errors: readonly string[]): PotokError {
  const shown = errors.slice(0, errorsMax)
  const more = errors.length > shown.length ? [`… and ${errors.length - shown.length} more`] : []
  return new PotokError('InvalidInput', [...shown, ...more].join('\n'), {
    context: { errors: errors.length },
  })
}
