/** The contract of `EventLog` over a real Kafka. */
import { afterAll, beforeAll } from 'vitest'
import { createKafkaEventLog } from '../../adapters/event-log/kafka-event-log.ts'
import { eventLogContract } from '../../testkit/contracts/event-log.ts'
import { kafkaConnection, newTopic, silent } from '../../testkit/kafka-log.ts'
import { type Kafka, startKafka } from '../../testkit/servers/kafka.ts'

let kafka: Kafka

beforeAll(async () => {
  kafka = await startKafka()
})
afterAll(() => kafka?.stop())

eventLogContract('kafka', async () => {
  const log = await createKafkaEventLog({
    connection: kafkaConnection(kafka.brokers),
    topic: newTopic(),
    partitionCount: 3,
    retentionMs: 3_600_000,
    replication: 0,
    logger: silent,
  })
  return { log, dispose: () => log.close() }
})
