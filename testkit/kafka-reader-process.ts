/**
 * A reader of a group as a process of its own, to be stopped and killed: prints its partitions whenever they change,
 * one line of JSON each. `node kafka-reader-process.ts BROKERS TOPIC GROUP SESSION-MS`.
 */
import { createKafkaEventLog } from '../adapters/event-log/kafka-event-log.ts'
import { kafkaConnection, silent } from './kafka-log.ts'

const [brokers = '', topic = '', group = '', sessionTimeoutMs = ''] = process.argv.slice(2)
const log = await createKafkaEventLog({
  connection: kafkaConnection(brokers),
  topic,
  partitionCount: 1,
  retentionMs: 3_600_000,
  replication: 0,
  logger: silent,
  readOnly: true,
  sessionTimeoutMs: Number(sessionTimeoutMs),
})
const reader = await log.openReader({ group })
let shown = ''
setInterval(() => {
  const text = JSON.stringify(reader.assignment())
  if (text !== shown) process.stdout.write(`${text}\n`)
  shown = text
}, 20)
