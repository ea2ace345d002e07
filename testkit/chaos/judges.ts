/**
 * Who says what is in the tables: not potok. Trino, or PyIceberg with DuckDB's SQL over what it read. Both give
 * the same rows; everything that is concluded from them is in check-events.ts and check-rollups.ts.
 */
import { runPython } from '../python-venv.ts'
import { createCatalogSql, s3Files, startTrino } from '../servers/trino.ts'
import type { World } from './world.ts'

export type EventRow = {
  readonly serial: number
  readonly eventId: string
  readonly kvfvId: string
  readonly eventTimeUs: number
  readonly speedMilli: number
  readonly plate: string
  readonly receivedAtUs: number
  readonly logEpoch: number
  readonly logPartition: number
  readonly logOffset: number
}

export type RejectedRow = {
  readonly reason: string
  readonly logEpoch: number
  readonly logPartition: number
  readonly logOffset: number
  readonly recordCount: number
}

export type RollupRow = {
  readonly kvfvId: string
  readonly windowStartUs: number
  readonly isExact: boolean
  readonly eventCount: number
  readonly speedSum: bigint
  readonly speedSumSq: bigint
  readonly paceSum: bigint
  readonly standingCount: number
  readonly speedMin: number
  readonly speedMax: number
  readonly lateCount: number
  /** JSON of bin → count. */
  readonly histogram: string
  readonly median: number | null
  readonly p85: number | null
  readonly duplicateCount: number | null
}

export const rollupNames = ['rollup_5m', 'rollup_1h', 'rollup_1d'] as const
export type RollupName = (typeof rollupNames)[number]

export type Judge = {
  readonly name: string
  events(): Promise<EventRow[]>
  rejected(): Promise<RejectedRow[]>
  rollup(name: RollupName): Promise<RollupRow[]>
  stop(): Promise<void>
}

type Dialect = {
  serial: string
  micros: (column: string) => string
  histogram: string
  /** `$TABLE` stands for the table. */
  query: (table: string, sql: string) => Promise<readonly (readonly unknown[])[]>
}

const scriptMsMax = 400_000

export async function judgeByTrino(world: World): Promise<Judge> {
  const trino = await startTrino()
  await trino.query(
    createCatalogSql('potok', world.catalogUrl(), s3Files(world.minio.endpoint, world.minio)),
  )
  const dialect: Dialect = {
    serial: `json_extract_scalar(attributes, '$.serial')`,
    micros: (column) => `CAST(round(to_unixtime(${column}) * 1e6) AS bigint)`,
    histogram: 'json_format(CAST(speed_histogram AS json))',
    query: async (table, sql) => {
      const { rows } = await trino.query(sql.replace('$TABLE', `potok.traffic.${table}`))
      return rows
    },
  }
  return judgeBy('Trino', dialect, () => trino.stop())
}

export function judgeByPyIceberg(world: World): Judge {
  const dialect: Dialect = {
    serial: `json_extract_string(attributes, '$.serial')`,
    micros: (column) => `epoch_us(${column})`,
    histogram: 'CAST(to_json(speed_histogram) AS varchar)',
    query: async (table, sql) => {
      const text = await runPython(
        `
import duckdb, json, sys
from pyiceberg.catalog import load_catalog
uri, key, secret, table = sys.argv[1:5]
catalog = load_catalog('potok', **{'type': 'rest', 'uri': uri, 's3.access-key-id': key, 's3.secret-access-key': secret})
arrow_rows = catalog.load_table(('traffic', table)).scan().to_arrow()
con = duckdb.connect()
con.execute("SET TimeZone = 'UTC'")
rows = con.execute(sys.stdin.read().replace('$TABLE', 'arrow_rows')).fetchall()
json.dump([[str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in row] for row in rows], sys.stdout)
`,
        [world.catalogUrl(), world.minio.accessKeyId, world.minio.secretAccessKey, table],
        sql,
        scriptMsMax,
      )
      return JSON.parse(text) as unknown[][]
    },
  }
  return judgeBy('PyIceberg and DuckDB', dialect, async () => undefined)
}

function judgeBy(name: string, dialect: Dialect, stop: () => Promise<void>): Judge {
  const { micros, query } = dialect
  return {
    name,
    stop,
    async events() {
      const rows = await query(
        'events',
        `SELECT ${dialect.serial}, CAST(event_id AS varchar), kvfv_id, ${micros('event_time')},
           CAST(round(vehicle_speed * 1000) AS bigint), plate_number, ${micros('received_at')},
           log_epoch, log_partition, log_offset FROM $TABLE`,
      )
      return rows.map((row) => ({
        serial: row[0] === null ? -1 : Number(row[0]),
        eventId: String(row[1]),
        kvfvId: String(row[2]),
        eventTimeUs: Number(row[3]),
        speedMilli: Number(row[4]),
        plate: String(row[5]),
        receivedAtUs: Number(row[6]),
        logEpoch: Number(row[7]),
        logPartition: Number(row[8]),
        logOffset: Number(row[9]),
      }))
    },
    async rejected() {
      const rows = await query(
        'rejected_events',
        'SELECT reason, log_epoch, log_partition, log_offset, record_count FROM $TABLE',
      )
      return rows.map((row) => ({
        reason: String(row[0]),
        logEpoch: Number(row[1]),
        logPartition: Number(row[2]),
        logOffset: Number(row[3]),
        recordCount: Number(row[4]),
      }))
    },
    async rollup(table) {
      const rows = await query(
        table,
        `SELECT kvfv_id, ${micros('window_start')}, is_exact, event_count, speed_sum_milli,
           speed_sum_sq_milli, pace_sum, standing_count, speed_min_milli, speed_max_milli, late_count,
           ${dialect.histogram}, median_milli, p85_milli, duplicate_count FROM $TABLE`,
      )
      return rows.map((row) => ({
        kvfvId: String(row[0]),
        windowStartUs: Number(row[1]),
        isExact: row[2] === true,
        eventCount: Number(row[3]),
        speedSum: BigInt(row[4] as string),
        speedSumSq: BigInt(row[5] as string),
        paceSum: BigInt(row[6] as string),
        standingCount: Number(row[7]),
        speedMin: Number(row[8]),
        speedMax: Number(row[9]),
        lateCount: Number(row[10]),
        histogram: String(row[11]),
        median: numberOrNull(row[12]),
        p85: numberOrNull(row[13]),
        duplicateCount: numberOrNull(row[14]),
      }))
    },
  }
}

function numberOrNull(value: unknown): number | null {
  return value === null ? null : Number(value)
}
