/**
 * The writer: the log into the tables `events` and `rejected_events`, exactly once, both in one commit.
 * The protocol is the sink's (iceberg/sink/log-sink.ts), the rows are events-processor's; this page only
 * puts them together and names the settings.
 */
import { createDetectionDecoder } from '../../kernel/decode-detection.ts'
import { defaultDetectionRules, type DetectionRules } from '../../kernel/detection.ts'
import {
  createLogSink,
  defaultLogSinkConfig,
  type LogSink,
  type LogSinkConfig,
  type LogSinkPorts,
} from '../../iceberg/sink/log-sink.ts'
import {
  createEventsProcessor,
  defaultEventsProcessorConfig,
  type EventsProcessorConfig,
  type EventsProcessorPorts,
} from './events-processor.ts'

export type WriterPorts = Omit<LogSinkPorts, 'processor'> &
  Pick<EventsProcessorPorts, 'parquet' | 'hashEventId'>

export type WriterConfig = LogSinkConfig &
  EventsProcessorConfig & {
    /** The gateway's rules: what is a detection there is one here. */
    readonly rules: DetectionRules
  }

export const defaultWriterConfig: WriterConfig = {
  ...defaultLogSinkConfig,
  ...defaultEventsProcessorConfig,
  group: 'writer',
  rules: defaultDetectionRules,
}

export function createWriter(ports: WriterPorts, config: WriterConfig): LogSink {
  const { parquet, hashEventId, ...sinkPorts } = ports
  const { ids, clock } = ports
  const decoder = createDetectionDecoder(config.rules, { lazyTexts: true })
  const processor = createEventsProcessor({ parquet, hashEventId, ids, clock, decoder }, config)
  return createLogSink({ ...sinkPorts, processor, config })
}
