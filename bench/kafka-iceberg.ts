/**
 * From Kafka into Iceberg on MinIO, side by side on one machine and in one run: one `potok writer`, and Apache
 * Iceberg's sink for Kafka Connect in one worker, each reading the same topic from its start through the same
 * catalog into a table partitioned by day. Then how long an event takes from being produced to being seen by
 * Trino; all of it once more with late events mixed in.
 * `npm run bench -- kafka-iceberg --events 10000000 [--late without|with] [--visible 0] [--only potok|peer]`
 *
 * What is not the same is in the peer's favour: its table has the event's seven fields, potok's ten columns
 * with ids, log positions and checks of every field; its files are not sorted; its start doesn't count.
 */
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { temporaryFolder } from '../testkit/potok-process.ts'
import { startKafka } from '../testkit/servers/kafka.ts'
import { startMinio } from '../testkit/servers/minio.ts'
import { createCatalogSql, s3Files, startTrino, type Trino } from '../testkit/servers/trino.ts'
import { connectVersions } from './lib-iceberg-connect.ts'
import { type Acknowledged, eventBytes, type KafkaLoad, runKafkaLoad } from './lib-kafka-load.ts'
import {
  openStage,
  type RunningSink,
  type SinkName,
  type Stage,
  startSink,
} from './lib-kafka-sinks.ts'
import { machine, usageOf } from './lib-machine.ts'
import { type TableProgress, tableProgress } from './lib-rest-table.ts'

const { values: flags } = parseArgs({
  options: {
    /** 0 leaves the rate out. */
    events: { type: 'string', default: '10000000' },
    cameras: { type: 'string', default: '1000' },
    partitions: { type: 'string', default: '8' },
    /** Tasks of the peer. */
    tasks: { type: 'string', default: '2' },
    /** `without`, `with` or `both`. */
    late: { type: 'string', default: 'both' },
    /** Seconds of paced events for the time until Trino sees them; 0 leaves it out. */
    visible: { type: 'string', default: '60' },
    rate: { type: 'string', default: '20000' },
    /** `potok`, `peer` or `both`. */
    only: { type: 'string', default: 'both' },
    /** File for the results as JSON. */
    json: { type: 'string' },
  },
})
const [events, cameras, partitions] = [flags.events, flags.cameras, flags.partitions].map(
  Number,
) as [number, number, number]
const ratePerSecond = Number(flags.rate)
const visibleSeconds = Number(flags.visible)
const peerOptions = { tasks: Number(flags.tasks), commitIntervalMs: 10_000 }
const sinks = (['potok', 'peer'] as const).filter((name) => [name, 'both'].includes(flags.only))
const latenesses = [false, true].filter((late) =>
  [late ? 'with' : 'without', 'both'].includes(flags.late),
)
/** Kafka is no fixture here: with its compilers. */
const kafkaJavaArgs = ['-Xms512m', '-Xmx1g']
const dayMs = 86_400_000
const spanMs = 20 * 3_600_000
const stalledMsMax = 180_000
const lookMs = 200

type CatchUp = {
  readonly sink: SinkName
  readonly withLate: boolean
  readonly events: number
  readonly seconds: number
  readonly eventsPerSecond: number
  /** From its first commit to its last. */
  readonly eventsPerSecondBetweenCommits: number
  readonly cpuSecondsPerMillion: number
  readonly rssPeakMib: number
  readonly commits: number
  readonly files: number
  readonly filesPerCommit: number
  readonly filesPerMillion: number
}

type Visibility = {
  readonly sink: SinkName
  readonly withLate: boolean
  readonly ratePerSecond: number
  readonly looks: number
  readonly secondsP50: number
  readonly secondsMax: number
  readonly cores: number
  readonly rssPeakMib: number
  readonly filesPerMillion: number
}

type Failure = { readonly sink: SinkName; readonly withLate: boolean; readonly failed: string }
type Result = CatchUp | Visibility | Failure

/** The whole topic, from the start of reading until every row is committed. */
async function catchUp(sink: SinkName, stage: Stage, withLate: boolean): Promise<CatchUp> {
  const running = await startSink(sink, stage, peerOptions)
  try {
    const before = sink === 'potok' ? 0 : usageOf(running.pid).cpuSeconds
    const progress = await untilRows(running, stage, events)
    const { cpuSeconds, rssPeakMib } = usageOf(running.pid)
    const last = progress.snapshots.at(-1)
    const first = progress.snapshots.find(({ rows }) => rows > 0)
    if (last === undefined || first === undefined) throw new Error('rows without a snapshot')
    const seconds = (last.atMs - running.startedAtMs) / 1_000
    const { commits, dataFiles: files } = progress
    return {
      sink,
      withLate,
      events,
      seconds: round(seconds),
      eventsPerSecond: Math.round(events / seconds),
      eventsPerSecondBetweenCommits: Math.round(
        ((last.rows - first.rows) / (last.atMs - first.atMs || 1)) * 1_000,
      ),
      cpuSecondsPerMillion: round(((cpuSeconds - before) / events) * 1e6),
      rssPeakMib,
      commits,
      files,
      filesPerCommit: round(files / commits),
      filesPerMillion: round((files / events) * 1e6),
    }
  } finally {
    await running.stop()
  }
}

async function untilRows(running: RunningSink, stage: Stage, rows: number): Promise<TableProgress> {
  let seen = -1
  let movedAtMs = Date.now()
  for (;;) {
    const progress = await tableProgress(stage.catalogUri, running.namespace, running.table)
    if (progress.rows >= rows) {
      if (progress.rows > rows) console.error(`${progress.rows} rows of ${rows} events`)
      return progress
    }
    if (progress.rows !== seen) movedAtMs = Date.now()
    seen = progress.rows
    if (Date.now() - movedAtMs > stalledMsMax) {
      throw new Error(`it stands still at ${progress.rows} rows:\n${running.log()}`)
    }
    await sleep(lookMs)
  }
}

/** Events at an even pace; how old is what a query in Trino has just come to see? */
async function visibility(
  sink: SinkName,
  stage: Stage,
  trino: Trino,
  withLate: boolean,
): Promise<Visibility> {
  const running = await startSink(sink, stage, peerOptions)
  const produced: Acknowledged[] = []
  const load = { ...loadOf(stage, withLate), events: ratePerSecond * visibleSeconds, ratePerSecond }
  const startedAtMs = Date.now()
  const before = usageOf(running.pid).cpuSeconds
  const producing = runKafkaLoad(load, (at) => produced.push(at))
  let failure: unknown = null
  producing.catch((error: unknown) => (failure = error))
  const lagsSeconds: number[] = []
  const table = `lake.${running.namespace}.${running.table}`
  try {
    for (let seen = 0; seen < load.events; ) {
      const { rows } = await trino.query(`SELECT count(*) FROM ${table}`)
      const atMs = Date.now()
      if (failure !== null) throw failure
      if (atMs - startedAtMs > visibleSeconds * 1_000 + stalledMsMax) {
        throw new Error(`after its time Trino sees ${seen} of ${load.events} rows`)
      }
      seen = Number(rows[0]?.[0] ?? 0)
      const oldestUnseen = produced.find(({ count }) => count > seen)
      // While nothing at all was seen, a sink may still be starting.
      if (seen > 0 && oldestUnseen !== undefined) {
        lagsSeconds.push((atMs - oldestUnseen.atMs) / 1_000)
      }
      await sleep(500)
    }
    await producing
    const after = usageOf(running.pid)
    const { dataFiles } = await tableProgress(stage.catalogUri, running.namespace, running.table)
    lagsSeconds.sort((a, b) => a - b)
    return {
      sink,
      withLate,
      ratePerSecond,
      looks: lagsSeconds.length,
      secondsP50: round(lagsSeconds[lagsSeconds.length >> 1] ?? Number.NaN),
      secondsMax: round(lagsSeconds.at(-1) ?? Number.NaN),
      cores: round((after.cpuSeconds - before) / ((Date.now() - startedAtMs) / 1_000)),
      rssPeakMib: after.rssPeakMib,
      filesPerMillion: round((dataFiles / load.events) * 1e6),
    }
  } finally {
    await running.stop()
  }
}

function loadOf({ kafka, topic }: Stage, withLate: boolean): KafkaLoad {
  return {
    brokers: kafka.brokers,
    topic,
    events,
    cameras,
    withLate,
    span: null,
    ratePerSecond: null,
  }
}

/** One of the two that ends or stands still is a result, too. */
function failureOf(sink: SinkName, withLate: boolean): (error: unknown) => Failure {
  return (error) => {
    console.error(error)
    const [failed] = String(error).split('\n')
    return { sink, withLate, failed: failed ?? '' }
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

async function run(): Promise<void> {
  const results: Result[] = []
  const keep = (result: Result): void => {
    results.push(result)
    console.log(JSON.stringify(result))
  }
  console.log(`${machine()}; ${connectVersions} (${peerOptions.tasks} tasks, commits every 10 s)`)
  console.log(`${events} events of ${eventBytes} B, ${cameras} cameras, ${partitions} partitions`)
  const folder = temporaryFolder('bench-kafka')
  const minio = await startMinio()
  // The programs find the store by variables.
  Object.assign(process.env, minio.env)
  const kafka = await startKafka({ javaArgs: kafkaJavaArgs })
  const shared = { kafka, minio, folder: folder.path }
  try {
    for (const withLate of events > 0 ? latenesses : []) {
      const stage = await openStage(shared, withLate ? 'late' : 'steady', partitions)
      try {
        const endMs = Date.now() - 60_000
        // Within one day of UTC as far as the hour allows: what comes late is another matter.
        const startMs = Math.max(endMs - spanMs, Math.floor(endMs / dayMs) * dayMs)
        await runKafkaLoad({ ...loadOf(stage, withLate), span: { startMs, endMs } })
        for (const sink of sinks) {
          keep(await catchUp(sink, stage, withLate).catch(failureOf(sink, withLate)))
        }
      } finally {
        await stage.close()
      }
    }
    if (visibleSeconds > 0) await measureVisibility(shared, keep)
  } finally {
    await kafka.stop()
    await minio.stop()
    folder.remove()
  }
  if (flags.json !== undefined) {
    writeFileSync(
      flags.json,
      `${JSON.stringify({ machine: machine(), flags, results }, null, 2)}\n`,
    )
  }
}

async function measureVisibility(
  shared: Parameters<typeof openStage>[0],
  keep: (result: Result) => void,
): Promise<void> {
  const trino = await startTrino()
  try {
    for (const withLate of latenesses) {
      for (const sink of sinks) {
        const name = `paced-${sink}${withLate ? '-late' : ''}`
        const stage = await openStage(shared, name, partitions)
        try {
          const { minio, catalogUri } = stage
          await trino.query(createCatalogSql('lake', catalogUri, s3Files(minio.endpoint, minio)))
          keep(await visibility(sink, stage, trino, withLate).catch(failureOf(sink, withLate)))
          await trino.query('DROP CATALOG lake')
        } finally {
          await stage.close()
        }
      }
    }
  } finally {
    await trino.stop()
  }
}

await run()
