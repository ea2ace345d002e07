/** Figures for Prometheus: counters of the intake, and every number in the health of a service. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { IntakeMeasurement } from '../ingest/gateway/intake.ts'
import type { ServiceHealth } from '../kernel/ports.ts'

export function recordIntake(registry: Registry): (measurement: IntakeMeasurement) => void {
  const registers = [registry]
  const accepted = new Counter({
    name: 'potok_intake_events_accepted_total',
    help: 'Items that are durable in the log as detections',
    labelNames: ['source'],
    registers,
  })
  const rejected = new Counter({
    name: 'potok_intake_events_rejected_total',
    help: 'Items that could not be detections; kept in rejected_events',
    labelNames: ['source', 'reason'],
    registers,
  })
  const bodies = new Counter({
    name: 'potok_intake_bodies_total',
    help: 'Bodies by what became of them',
    labelNames: ['source', 'outcome'],
    registers,
  })
  const seconds = new Histogram({
    name: 'potok_intake_seconds',
    help: 'From the whole body read to the answer',
    labelNames: ['source'],
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  })
  return (measurement) => {
    const { source } = measurement
    accepted.inc({ source }, measurement.accepted)
    for (const [reason, count] of Object.entries(measurement.rejected)) {
      rejected.inc({ source, reason }, count)
    }
    bodies.inc({ source, outcome: measurement.outcome })
    seconds.observe({ source }, measurement.seconds)
  }
}

/** `potok_service_ok{service}` and `potok_service{service, figure}` for each number in the details. */
export function exportHealth(
  registry: Registry,
  health: () => Readonly<Record<string, ServiceHealth>>,
): void {
  const ok = new Gauge({
    name: 'potok_service_ok',
    help: '1 while the service works, else 0; the reason is in /readyz',
    labelNames: ['service'],
    registers: [],
    collect() {
      for (const [service, state] of Object.entries(health())) {
        this.set({ service }, state.ok ? 1 : 0)
      }
    },
  })
  const figures = new Gauge({
    name: 'potok_service',
    help: 'Figures of a service, by name: docs/reference/metrics.md',
    labelNames: ['service', 'figure'],
    registers: [],
    collect() {
      this.reset()
      for (const [service, { details }] of Object.entries(health())) {
        for (const [figure, value] of numbersOf(details)) this.set({ service, figure }, value)
      }
    },
  })
  registry.registerMetric(ok)
  registry.registerMetric(figures)
  for (const metric of sinkMetrics(health)) registry.registerMetric(metric)
}

/** What the health of a sink says of each log partition that it reads, and of a halt. */
function sinkMetrics(health: () => Readonly<Record<string, ServiceHealth>>): Gauge[] {
  const perPartition = (name: string, help: string, figure: string): Gauge =>
    new Gauge({
      name,
      help,
      labelNames: ['service', 'log_partition'],
      registers: [],
      collect() {
        this.reset()
        for (const [service, { details }] of Object.entries(health())) {
          for (const [log_partition, figures] of recordsOf(details['partitions'])) {
            const value = figures[figure]
            if (typeof value === 'number') this.set({ service, log_partition }, value)
          }
        }
      },
    })
  const halted = new Gauge({
    name: 'potok_sink_halted',
    help: '1 while a sink has halted, by case: it waits until somebody puts things right',
    labelNames: ['service', 'case'],
    registers: [],
    collect() {
      this.reset()
      for (const [service, { details }] of Object.entries(health())) {
        const haltCase = details['haltCase']
        if (typeof haltCase === 'string') this.set({ service, case: haltCase }, 1)
      }
    },
  })
  return [
    perPartition(
      'potok_sink_lag_records',
      'Records of a log partition that a sink of this process has not committed',
      'lag',
    ),
    perPartition(
      'potok_sink_lag_age_seconds',
      'Age of the oldest of them, by its time of receipt, or how long the log hands none of them out',
      'ageSeconds',
    ),
    halted,
  ]
}

function recordsOf(value: unknown): [string, Record<string, unknown>][] {
  return typeof value === 'object' && value !== null
    ? Object.entries(value as Record<string, Record<string, unknown>>)
    : []
}

/** Figures per log partition: what matters of them has metrics of its own, the rest is in /v1/status. */
const notExported: ReadonlySet<string> = new Set(['positions', 'eventTimeUsMax', 'partitions'])

/** Numbers at the top and one level below: `records.added`. */
function numbersOf(details: Readonly<Record<string, unknown>>): [string, number][] {
  return Object.entries(details).flatMap(([name, value]): [string, number][] => {
    if (typeof value === 'number') return [[name, value]]
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
    if (notExported.has(name)) return []
    return Object.entries(value).flatMap(([inner, number]): [string, number][] =>
      typeof number === 'number' ? [[`${name}.${inner}`, number]] : [],
    )
  })
}
