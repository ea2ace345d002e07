/** The contract of `EventLog` over a real Kafka. */
import { afterAll, beforeAll } from 'vitest'
import { eventLogContract } from '../../testkit/contracts/event-log.ts'
import { newTopic, openKafkaLog } from '../../testkit/kafka-log.ts'
import { type Kafka, startKafka } from '../../testkit/servers/kafka.ts'

let kafka: Kafka

beforeAll(async () => {
  kafka = await startKafka()
})
afterAll(() => kafka?.stop())

eventLogContract('kafka', async () => {
  const log = await openKafkaLog(kafka.brokers, newTopic())
  return { log, dispose: () => log.close() }
})
