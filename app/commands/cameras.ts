/**
 * `potok cameras import FILE`: registers cameras from CSV or GeoJSON. Beside a running potok over its API, so
 * that it knows at once; on stopped data straight into the table.
 */
import { readFileSync } from 'node:fs'
import { createDuckDbParquetReader } from '../../adapters/duckdb/duckdb-parquet-reader.ts'
import { createDuckDbParquetWriter } from '../../adapters/duckdb/duckdb-parquet-writer.ts'
import type { CameraFacts } from '../../api/cameras/camera-facts.ts'
import { createCameraStore } from '../../api/cameras/camera-store.ts'
import { createManifestScanner } from '../../api/read-model/manifest-scanner.ts'
import { PotokError } from '../../kernel/errors.ts'
import { formatUs } from '../../kernel/time.ts'
import { readRunning, tryDataLock } from '../data-lock.ts'
import { ensureTables } from '../ensure-tables.ts'
import { type Installation, openInstallation } from '../installation.ts'
import { createProgress } from '../progress.ts'
import { openEngine } from '../roles.ts'
import { parseCamerasFile } from './cameras-file.ts'
import { type CommandDefinition, print, toJson } from './command.ts'
import { urlOption } from './replay.ts'

type Imported = { added: number; changed: number }

const camerasPerRequest = 5_000

export const camerasCommand: CommandDefinition = {
  usage: 'cameras <action> <file>',
  description: 'cameras import FILE: register cameras from CSV or GeoJSON',
  options: [urlOption],
  run: async ({ settings, options, words }) => {
    const [action, file] = words
    if (action !== 'import' || file === undefined) {
      throw new PotokError('InvalidInput', 'cameras knows one action: cameras import FILE')
    }
    const rows = parseCamerasFile(readFile(file))
    const url = options['url']
    const result =
      typeof url === 'string'
        ? await importOver(url, rows)
        : await importInto(openInstallation(settings, 'cameras'), rows)
    print(
      settings.json
        ? toJson({ rows: rows.length, ...result })
        : `${rows.length} rows: ${result.added} cameras are new, ${result.changed} changed`,
    )
    return 0
  },
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new PotokError('InvalidInput', `${path} can't be read`, { cause })
  }
}

async function importInto(
  installation: Installation,
  rows: readonly CameraFacts[],
): Promise<Imported> {
  const lock = tryDataLock(installation.data)
  if (lock === null) {
    const url = readRunning(installation.data)?.url
    if (typeof url === 'string') return await importOver(url, rows)
    throw new PotokError(
      'Unavailable',
      `the potok on ${installation.data} is not up yet; try again`,
    )
  }
  const duckdb = await openEngine(installation, 1)
  try {
    await ensureTables(installation)
    const store = createCameraStore({
      ...installation,
      scanner: createManifestScanner(installation.manifests),
      parquetReader: createDuckDbParquetReader({ store: installation.store, duckdb }),
      parquetWriter: createDuckDbParquetWriter({ store: installation.store, duckdb }),
    })
    return await store.importCameras(rows)
  } finally {
    duckdb.close()
    lock.release()
  }
}

async function importOver(url: string, rows: readonly CameraFacts[]): Promise<Imported> {
  const progress = createProgress('cameras', 'rows')
  const sum = { added: 0, changed: 0 }
  for (let at = 0; at < rows.length; at += camerasPerRequest) {
    const cameras = rows.slice(at, at + camerasPerRequest).map(toWire)
    const response = await fetch(`${url}/v1/cameras`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ cameras }),
    }).catch((cause: unknown) => {
      throw new PotokError('Unavailable', `no answer from ${url}`, { cause })
    })
    if (!response.ok) {
      throw new PotokError(
        response.status === 400 ? 'InvalidInput' : 'Unavailable',
        `${url} answered ${response.status}: ${(await response.text()).slice(0, 500)}`,
      )
    }
    const { added, changed } = (await response.json()) as Imported
    sum.added += added
    sum.changed += changed
    progress.update(at + cameras.length, rows.length)
  }
  progress.done()
  return sum
}

function toWire(row: CameraFacts): Record<string, unknown> {
  return {
    kvfv_id: row.kvfvId,
    name: row.name,
    road: row.road,
    latitude: row.latitude,
    longitude: row.longitude,
    speed_limit: row.speedLimit,
    valid_from: row.validFromUs === null ? null : formatUs(row.validFromUs),
    time_zone: row.timeZone,
    lanes: row.lanes,
  }
}
