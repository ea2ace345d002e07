/**
 * Which event log this installation has: the embedded one in its data folder, or a topic of Kafka. Kafka's client
 * is loaded where it is used only: it costs every process, and every thread of one, half a CPU second at start.
 */
import { join } from 'node:path'
import { createLmdbEventLog } from '../adapters/event-log/lmdb-event-log.ts'
import type { Clock, EventLog, IdSource, Logger } from '../kernel/ports.ts'
import { readKafkaConnection } from './kafka-settings.ts'
import { bytesPerMib, type Settings } from './settings.ts'

const pendingBytesMax = 64 * bytesPerMib

export async function openEventLog(
  settings: Settings,
  data: string,
  ports: { readonly clock: Clock; readonly ids: IdSource; readonly logger: Logger },
  readOnly: boolean,
): Promise<EventLog> {
  const retentionMs = settings.logRetentionHours * 3_600_000
  if (settings.kafkaBrokers !== '') {
    const { createKafkaEventLog } = await import('../adapters/event-log/kafka-event-log.ts')
    return await createKafkaEventLog({
      connection: readKafkaConnection(settings, ports.clock),
      topic: settings.kafkaTopic,
      partitionCount: settings.logPartitions,
      retentionMs,
      replication: settings.kafkaReplication,
      sessionTimeoutMs: settings.kafkaSessionTimeoutMs,
      pendingBytesMax,
      logger: ports.logger,
      readOnly,
    })
  }
  return createLmdbEventLog({
    ...ports,
    directory: join(data, 'log'),
    // Who only looks takes the log as it is.
    ...(readOnly ? {} : { partitionCount: settings.logPartitions }),
    sizeBytesMax: settings.logSizeMaxMib * bytesPerMib,
    retentionMs,
    maxPendingBytes: pendingBytesMax,
    readOnly,
  })
}
