/**
 * `potok ingest reset --to …`: the choice that a sink which has halted waits for. It changes positions only
 * where somebody said so, in one commit, and writes down what is left out.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Option } from 'commander'
import { createDuckDbParquetWriter } from '../../adapters/duckdb/duckdb-parquet-writer.ts'
import type { ResetTarget } from '../../iceberg/sink/plan-reset.ts'
import { PotokError } from '../../kernel/errors.ts'
import { openInstallation } from '../installation.ts'
import { type ResetOutcome, resetPositions } from '../reset-positions.ts'
import { openEngine } from '../roles.ts'
import { type CommandDefinition, print, toJson } from './command.ts'

const resetCommand: CommandDefinition = {
  usage: 'reset',
  description:
    'Say where reading goes on after the log was replaced, cut or lost: raises log_epoch and records the gap',
  options: [
    new Option(
      '--to <place>',
      'start: where the log begins now; end: skip what it holds; or partition=offset,…',
    ).makeOptionMandatory(),
    new Option('--dry-run', 'Only show what it would do'),
    new Option('--force', 'Also log partitions whose position is fine'),
  ],
  run: async ({ settings, options }) => {
    const target = parseTarget(String(options['to']))
    const installation = openInstallation(settings, 'ingest', {
      existing: settings.warehouse === '',
    })
    const duckdb = await openEngine(installation, 1)
    const parquet = createDuckDbParquetWriter({ store: installation.store, duckdb })
    const log = await installation.openLog({ readOnly: true })
    try {
      const request = {
        target,
        force: options['force'] === true,
        dryRun: options['dryRun'] === true,
      }
      const ports = { ...installation, parquet, log, sleep: (ms: number) => sleep(ms) }
      const outcome = await resetPositions(ports, request)
      print(
        settings.json
          ? toJson(wireOutcome(outcome, request.dryRun))
          : describeReset(outcome, request.dryRun),
      )
      return 0
    } finally {
      await log.close()
      await parquet.close()
      duckdb.close()
      await installation.catalog.close()
    }
  },
}

export const ingestCommand: CommandDefinition = {
  usage: 'ingest',
  description: 'ingest reset --to …: where reading goes on after a sink has halted',
  subcommands: [resetCommand],
  run: async () => {
    throw new PotokError('InvalidInput', 'ingest knows one action: ingest reset --to …')
  },
}

/** `start`, `end`, or offsets by log partition: `0=17,3=42`. */
export function parseTarget(text: string): ResetTarget {
  if (text === 'start' || text === 'end') return text
  const offsets = new Map<number, number>()
  for (const part of text.split(',')) {
    const [, logPartition, offset] = /^\s*(\d{1,9})\s*=\s*(\d{1,15})\s*$/.exec(part) ?? []
    if (logPartition === undefined || offsets.has(Number(logPartition))) {
      throw new PotokError(
        'InvalidInput',
        `--to ${text}: write start, end, or an offset per log partition: 0=17,3=42`,
      )
    }
    offsets.set(Number(logPartition), Number(offset))
  }
  return offsets
}

function wireOutcome({ plan, halts }: ResetOutcome, isDryRun: boolean) {
  return {
    done: !isDryRun,
    log_epoch: plan.logEpoch,
    halted: { writer: halts.writer?.case ?? null, rollups: halts.rollups?.case ?? null },
    partitions: plan.partitions.map((one) => ({
      log_partition: one.logPartition,
      problem: one.problem,
      events: one.writer,
      rollup_5m: one.rollups,
      skipped: one.skipped,
      repeated: one.repeated,
      rest_of_former_log_unknown: one.isRestUnknown,
      missing_in_rollups: one.missingInRollups,
      only_in_rollups: one.onlyInRollups,
    })),
  }
}

export function describeReset({ plan, halts }: ResetOutcome, isDryRun: boolean): string {
  const { partitions, logEpoch } = plan
  const sum = (pick: (one: (typeof partitions)[number]) => number): number =>
    partitions.reduce((total, one) => total + pick(one), 0)
  const lines = [
    ...new Set(
      [halts.writer, halts.rollups].flatMap((halt) => (halt === null ? [] : halt.message)),
    ),
    isDryRun
      ? `Nothing was changed. It would raise log_epoch to ${logEpoch}:`
      : `log_epoch is ${logEpoch} from here on. Sinks that run go on by themselves within seconds:`,
  ]
  for (const one of partitions) {
    if (one.problem === null && one.skipped === 0 && one.repeated === 0) continue
    lines.push(
      `  log partition ${one.logPartition} (${one.problem ?? 'fine'}): events ${one.writer.from ?? 'none'} → ${one.writer.to}, rollup_5m ${one.rollups.from ?? 'none'} → ${one.rollups.to}`,
    )
  }
  const kept = partitions.filter(({ problem }) => problem === null).length
  if (kept > 0) lines.push(`  ${kept} log partitions without a problem`)
  lines.push(
    `${sum((one) => one.skipped)} offsets are left out, as log_gap rows of rejected_events.`,
  )
  if (partitions.some(({ isRestUnknown }) => isRestUnknown)) {
    lines.push('How much the former log held that was never read, nobody knows.')
  }
  const repeated = sum((one) => one.repeated)
  if (repeated > 0) {
    lines.push(
      `${repeated} offsets that the tables hold are read again: the same detections, with the same event_id, which exact runs count once.`,
    )
  }
  const missing = sum((one) => one.missingInRollups)
  const extra = sum((one) => one.onlyInRollups)
  if (missing + extra > 0) {
    lines.push(
      `Of the old positions, ${missing} are in events alone and ${extra} in rollup_5m alone: averages of their windows differ from the events until an exact run has computed them (potok recompute).`,
    )
  }
  return lines.join('\n')
}
