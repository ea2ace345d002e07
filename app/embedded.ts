/**
 * The parts of potok that one process runs, wired: all of them for `up` and `demo`, one for a role's command,
 * those without HTTP for `recompute` on stopped data.
 * Started in the order in which parts need each other, stopped in the reverse: intake first, so that
 * nothing is acknowledged that the sinks of this process have no time left to see (the log keeps it anyway).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import express, { type Router } from 'express'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { createDuckDbParquetReader } from '../adapters/duckdb/duckdb-parquet-reader.ts'
import { createDuckDbParquetWriter } from '../adapters/duckdb/duckdb-parquet-writer.ts'
import type { DuckDb } from '../adapters/duckdb/instance.ts'
import { createDuckDbExactEngine } from '../adapters/exact-engine/duckdb-exact-engine.ts'
import { createCronSchedule } from '../adapters/schedule/cron.ts'
import { createApi } from '../api/create-api-router.ts'
import { defaultApiConfig } from '../api/ports.ts'
import type { CatalogService } from '../catalog/catalog-service.ts'
import { createCatalogRouter } from '../catalog/rest-server.ts'
import { createIntakeRouter } from '../ingest/gateway/http.ts'
import { createIntake, type Intake } from '../ingest/gateway/intake.ts'
import { createMapping } from '../ingest/gateway/mapping.ts'
import { PotokError } from '../kernel/errors.ts'
import type { AnswerStore, EventLog, Service, ServiceHealth } from '../kernel/ports.ts'
import {
  createRecomputeService,
  type RecomputeService,
} from '../rollups/recompute/recompute-service.ts'
import { catalogHealth, checkTablesInReach } from './catalog.ts'
import { crashPortOfProcess } from './crash-point.ts'
import { ensureTables } from './ensure-tables.ts'
import { answerFailure, answerUnknown } from './http-errors.ts'
import { type Listening, listen } from './http-server.ts'
import type { Installation } from './installation.ts'
import { watchLog } from './log-watch.ts'
import { exportHealth, recordIntake } from './metrics.ts'
import { createBroker, createSubscription, type Mqtt, type MqttPorts } from './mqtt.ts'
import { createProbesRouter } from './probes.ts'
import { createRoleThread } from './role-thread.ts'
import { detectionRules, latenessUs, openEngine, platePolicyOf } from './roles.ts'
import { bytesPerMib, listSetting, readMapping } from './settings.ts'
import { potokVersion } from './version.ts'

/** A poll of another catalog is two requests over the network. */
const otherCatalogPollMs = 1_000

export type Embedded = {
  start(): Promise<void>
  /** Again is no error. */
  stop(deadlineMs: number): Promise<void>
  health(): Readonly<Record<string, ServiceHealth>>
  readonly recompute: RecomputeService
  url(): string | null
  /** Of the catalog served here, or of the other one that is used. */
  catalogUrl(): string | null
  /** Of the broker, here or elsewhere; null without MQTT. */
  mqttUrl(): string | null
}

export const allParts = [
  'writer',
  'rollups',
  'recompute',
  'catalog',
  'gateway',
  'broker',
  'api',
] as const
/** `broker`: cameras connect to this process by MQTT. `mqtt`: it subscribes on another broker. */
export type Part = (typeof allParts)[number] | 'mqtt'

export type EmbeddedOptions = {
  readonly parts: readonly Part[]
  /** Health and metrics over HTTP also where no part needs it. */
  readonly probes: boolean
  /** A part ended that should run: the process should stop. */
  readonly onDeath: (error: Error) => void
}

export function createEmbedded(installation: Installation, options: EmbeddedOptions): Embedded {
  const { settings, logger, catalogAccess } = installation
  const runs = new Set(options.parts)
  const registry = new Registry()
  const services = new Map<string, Service>()
  for (const role of ['writer', 'rollups'] as const) {
    if (runs.has(role)) services.set(role, createRoleThread(role, settings, options.onDeath))
  }
  /** What `stop` undoes, newest first. */
  const undo: ((deadlineMs: number) => Promise<void>)[] = []
  let recompute: RecomputeService | null = null
  let listening: Listening | null = null
  let catalogListening: Listening | null = null
  let mqtt: Mqtt | null = null
  let stopping: Promise<void> | null = null

  const health = (): Record<string, ServiceHealth> =>
    Object.fromEntries([...services].map(([name, service]) => [name, service.health()]))

  async function start(): Promise<void> {
    undo.push(() => catalogAccess.catalog.close())
    await catalogAccess.probe()
    await installation.removeLeftovers()
    await ensureTables(installation)
    await checkTablesInReach(catalogAccess, settings)
    const log = await installation.openLog()
    undo.push(() => log.close())
    for (const service of services.values()) {
      await service.start()
      undo.push((deadlineMs) => service.stop(deadlineMs))
    }
    const duckdb = await openEngine(installation, 2)
    undo.push(async () => duckdb.close())
    if (runs.has('recompute')) {
      const exact = createExactJob(installation, duckdb, log)
      recompute = exact
      await exact.start()
      undo.push((deadlineMs) => exact.stop(deadlineMs))
      services.set('recompute', exact)
    }
    collectDefaultMetrics({ register: registry })
    exportHealth(registry, health)
    if (catalogAccess.own !== null && runs.has('catalog')) await startCatalog(catalogAccess.own)
    if (catalogAccess.uri !== null || runs.has('catalog')) {
      services.set('catalog', catalogHealth(catalogAccess, installation.clock))
    }
    if (runs.has('gateway') || runs.has('api') || options.probes) await startHttp(log, duckdb)
  }

  async function startCatalog(own: CatalogService): Promise<void> {
    const catalogApp = express().disable('x-powered-by')
    const { clientDefaults } = installation.storage
    catalogApp.use(
      createCatalogRouter(own, {
        logger,
        warehouseNames: ['potok'],
        clientDefaults,
      }),
    )
    catalogListening = await listen(catalogApp, {
      host: settings.host,
      port: settings.catalogPort,
      name: 'the catalog',
      flag: '--catalog-port',
    })
    undo.push((deadlineMs) => catalogListening?.close(deadlineMs) ?? Promise.resolve())
  }

  async function startHttp(log: EventLog, duckdb: DuckDb): Promise<void> {
    const app = express().disable('x-powered-by')
    const watch = watchLog(log, installation.clock)
    const takesIn = (['gateway', 'broker', 'mqtt'] as const).some((part) => runs.has(part))
    const intake = takesIn ? openIntake(installation, watch.log, registry) : null
    if (intake !== null && runs.has('gateway')) {
      app.use(createIntakeRouter(intake))
      services.set('gateway', { ...noLife, health: () => watch.health() })
    }
    app.use(runs.has('api') ? await startApi(log, duckdb) : createProbesRouter(registry, health))
    app.use(answerUnknown, answerFailure(logger))
    listening = await listen(app, {
      host: settings.host,
      port: settings.port,
      name: 'potok',
      flag: '--port',
    })
    undo.push(async (deadlineMs) => {
      // At once: who goes on sending over an open connection is told 503 instead of keeping it open.
      await Promise.all([listening?.close(deadlineMs), intake?.close()])
    })
    if (intake !== null) await startMqtt({ installation, intake, watch })
  }

  async function startMqtt(ports: MqttPorts): Promise<void> {
    if (runs.has('mqtt')) mqtt = await createSubscription(ports)
    else if (runs.has('broker') && settings.mqttPort !== 0) mqtt = await createBroker(ports)
    if (mqtt === null) return
    const { service } = mqtt
    services.set('mqtt', service)
    await service.start()
    undo.push((deadlineMs) => service.stop(deadlineMs))
  }

  async function startApi(log: EventLog, duckdb: DuckDb): Promise<Router> {
    const api = createApi(
      {
        ...installation,
        parquetReader: createDuckDbParquetReader({ store: installation.store, duckdb }),
        parquetWriter: createDuckDbParquetWriter({ store: installation.store, duckdb }),
        registry,
        answers: await openAnswers(),
        recompute,
        logRanges: () => log.ranges(),
        health,
      },
      {
        ...defaultApiConfig,
        ...(catalogAccess.uri === null ? {} : { pollMs: otherCatalogPollMs }),
        version: potokVersion,
        cubeCacheBytesMax: settings.cubeCacheMib * bytesPerMib,
        allowedLatenessUs: latenessUs(settings),
        logPartitionCount: settings.logPartitions,
      },
    )
    const model = api.readModel
    await model.start()
    undo.push((deadlineMs) => model.stop(deadlineMs))
    services.set('api', model)
    return api.router
  }

  async function openAnswers(): Promise<AnswerStore | null> {
    if (settings.redisUrl === '') return null
    // Loaded where it is used only.
    const { createRedisAnswerStore } = await import('../adapters/cache/redis-answer-store.ts')
    const answers = createRedisAnswerStore({ url: settings.redisUrl, logger })
    await answers.start()
    undo.push((deadlineMs) => answers.stop(deadlineMs))
    services.set('shared_cache', answers)
    return answers
  }

  async function stopAll(deadlineMs: number): Promise<void> {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
      await step(deadlineMs).catch((error: unknown) => {
        logger.error({ error: String(error) }, 'a part did not stop cleanly')
      })
    }
  }

  return {
    start,
    stop: (deadlineMs) => {
      stopping ??= stopAll(deadlineMs)
      return stopping
    },
    health,
    get recompute() {
      if (recompute === null) throw new PotokError('Unavailable', 'the exact job has not started')
      return recompute
    },
    url: () => listening?.url ?? null,
    mqttUrl: () => mqtt?.url() ?? null,
    catalogUrl: () => catalogListening?.url ?? catalogAccess.uri,
  }
}

/** Of a service that is there only to tell its health. */
const noLife = { start: async () => undefined, stop: async () => undefined }

/** Without a log a run waits for nothing: for plans only. */
export function createExactJob(
  installation: Installation,
  duckdb: DuckDb,
  log: EventLog | null,
): RecomputeService {
  const { settings, store } = installation
  return createRecomputeService(
    {
      ...installation,
      engine: createDuckDbExactEngine({ store, duckdb }),
      parquetReader: createDuckDbParquetReader({ store, duckdb }),
      parquetWriter: createDuckDbParquetWriter({ store, duckdb }),
      logEnds: async () => ({
        identity: (await log?.identity()) ?? null,
        ends: new Map(
          (await (log?.ranges() ?? [])).map((range) => [range.logPartition, range.endOffset]),
        ),
      }),
      sleep: async (ms, signal) => {
        await sleep(ms, undefined, { signal }).catch(() => {
          throw new PotokError('ShuttingDown', 'stopped while waiting')
        })
      },
      schedule: createCronSchedule(),
      ...crashPortOfProcess(),
    },
    {
      latenessUsMax: latenessUs(settings),
      schedule: settings.recomputeSchedule,
      timeZone: settings.recomputeTimeZone,
    },
  )
}

function openIntake(installation: Installation, log: EventLog, registry: Registry): Intake {
  const { settings, clock, logger } = installation
  return createIntake({
    log,
    clock,
    logger,
    rules: detectionRules(settings),
    platePolicy: platePolicyOf(settings),
    mapping: createMapping(readMapping(settings)),
    eventIdExcludedFields: listSetting(settings.eventIdExclude),
    onMetrics: recordIntake(registry),
  })
}
