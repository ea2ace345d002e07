/**
 * The rollup stream: the log into provisional rows of `rollup_5m`, exactly once, so that a camera's new
 * average is in the API seconds after its POST. The protocol is the sink's (iceberg/sink/log-sink.ts), the
 * sums are rollup-processor's; this page puts them together and keeps the speed limits fresh.
 */
import { createCameraLimits } from '../../kernel/camera-limits.ts'
import { createDetectionDecoder } from '../../kernel/decode-detection.ts'
import { defaultDetectionRules, type DetectionRules } from '../../kernel/detection.ts'
import { describeError } from '../../kernel/errors.ts'
import type { SpeedLimit } from '../../kernel/exact-engine.ts'
import {
  createLogSink,
  defaultLogSinkConfig,
  type LogSink,
  type LogSinkConfig,
  type LogSinkPorts,
} from '../../iceberg/sink/log-sink.ts'
import {
  createRollupProcessor,
  defaultRollupProcessorConfig,
  type RollupProcessorConfig,
  type RollupProcessorPorts,
} from './rollup-processor.ts'

export type RollupStreamPorts = Omit<LogSinkPorts, 'processor'> &
  Pick<RollupProcessorPorts, 'parquet'> & {
    /** All entries of the table `cameras`. */
    readonly loadSpeedLimits: () => Promise<readonly SpeedLimit[]>
  }

export type RollupStreamConfig = LogSinkConfig &
  RollupProcessorConfig & {
    /** The gateway's rules: what is a detection there is one here. */
    readonly rules: DetectionRules
    /** A changed limit counts in provisional rows at the latest this long after. */
    readonly limitsRefreshMs: number
  }

export const defaultRollupStreamConfig: RollupStreamConfig = {
  ...defaultLogSinkConfig,
  ...defaultRollupProcessorConfig,
  group: 'rollups',
  commitAgeMsMax: 1_500,
  rules: defaultDetectionRules,
  limitsRefreshMs: 30_000,
}

export function createRollupStream(ports: RollupStreamPorts, config: RollupStreamConfig): LogSink {
  const { parquet, loadSpeedLimits, ...sinkPorts } = ports
  const { ids, clock, logger } = ports
  let limits = createCameraLimits([])
  let limitsError: string | null = null
  let isRefreshing = false
  let isStopped = false
  let timer: NodeJS.Timeout | null = null
  const processor = createRollupProcessor(
    {
      parquet,
      ids,
      clock,
      limits: () => limits,
      decoder: createDetectionDecoder(config.rules, { texts: false }),
    },
    config,
  )
  const sink = createLogSink({ ...sinkPorts, processor, config })

  /** Never throws: without fresh limits the last ones count on, and health says so. */
  async function refreshLimits(): Promise<void> {
    if (isRefreshing) return
    isRefreshing = true
    try {
      limits = createCameraLimits(await loadSpeedLimits())
      limitsError = null
    } catch (error) {
      limitsError = describeError(error)
      const fields = { group: config.group, error: limitsError }
      if (!isStopped) logger.warn(fields, 'speed limits could not be read: the last ones count on')
    } finally {
      isRefreshing = false
    }
  }

  return {
    async start() {
      isStopped = false
      // Before the first record: its violations must be counted, too.
      await refreshLimits()
      await sink.start()
      timer = setInterval(() => void refreshLimits(), config.limitsRefreshMs)
      timer.unref()
    },
    async stop(deadlineMs) {
      isStopped = true
      if (timer !== null) clearInterval(timer)
      await sink.stop(deadlineMs)
    },
    health() {
      const health = sink.health()
      return {
        ...health,
        details: {
          ...health.details,
          records: processor.counts(),
          sealedUntilUs: processor.sealedUntilUs(),
          ...(limitsError === null ? {} : { speedLimits: `not refreshed: ${limitsError}` }),
        },
      }
    },
    status: () => sink.status(),
  }
}
