/**
 * One client's connections to the brokers of a cluster, and what it knows of a topic: one connection a broker,
 * made when it is needed and again after it broke. Requests that wait long (fetches) belong on a cluster object
 * of their own: a broker answers the requests of one connection in their order.
 *
 * `request` does no retry and says nothing about what became of the request when it fails: whoever sends
 * something that changes the log decides. After `timeoutMs` the connection is torn down, so that no late answer
 * can be taken for that of another request.
 */
import { type API, Connection, metadataV12 } from '@platformatic/kafka'
import { describeError, PotokError } from '../../kernel/errors.ts'
import type { KafkaAddress, KafkaConnection } from './kafka-connection.ts'
import { connectionOptions } from './kafka-connection-options.ts'
import { answerIn, brokerError, isRefusal, kafkaFailure, refusal } from './kafka-failure.ts'

export type KafkaPartition = {
  readonly index: number
  /** -1: none at this moment. */
  readonly leader: number
  readonly leaderEpoch: number
  readonly replicas: number
}

export type KafkaTopic = {
  readonly clusterId: string
  readonly name: string
  /** As on the wire: hexadecimal with dashes. */
  readonly topicId: string
  /** By index, without gap. */
  readonly partitions: readonly KafkaPartition[]
}

export type KafkaCluster = {
  /** To a broker by its id, or to `any`. */
  request<Arguments extends unknown[], Answer>(
    broker: number | 'any',
    api: API<Arguments, Answer>,
    args: Arguments,
    timeoutMs?: number,
  ): Promise<Answer>
  /** Asked anew; null where there is no such topic. */
  describeTopic(name: string): Promise<KafkaTopic | null>
  /** As many as the last answer to `describeTopic` named. */
  brokerCount(): number
  /** Tears all connections down: what is under way fails. */
  close(): Promise<void>
}

export function createKafkaCluster(connection: KafkaConnection): KafkaCluster {
  const connections = new Map<string, Promise<Connection>>()
  let addresses = new Map<number, KafkaAddress>()
  let turn = 0
  let closed = false

  function connect(address: KafkaAddress): Promise<Connection> {
    const key = `${address.host}:${address.port}`
    const existing = connections.get(key)
    if (existing !== undefined) return existing
    const made = new Connection(connection.clientId, connectionOptions(connection, address.host))
    const forget = (): void => {
      if (connections.get(key) === connected) connections.delete(key)
    }
    // Without a listener an error of a socket would end the process.
    made.on('error', forget)
    made.on('close', forget)
    const connected = (async () => {
      try {
        await made.connect(address.host, address.port)
        return made
      } catch (error) {
        forget()
        destroy(made)
        throw error
      }
    })()
    connections.set(key, connected)
    return connected
  }

  /** Those that the cluster named, then those that we were given: all may have moved meanwhile. */
  async function connectAny(): Promise<Connection> {
    const known = [...addresses.values(), ...connection.brokers]
    const failures: unknown[] = []
    turn++
    for (let i = 0; i < known.length; i++) {
      try {
        return await connect(known[(turn + i) % known.length] as KafkaAddress)
      } catch (error) {
        failures.push(error)
        // Others would refuse us, too, and some lock a user out after several tries.
        if (isRefusal(error)) break
      }
    }
    const tried = connection.brokers.map(({ host, port }) => `${host}:${port}`).join(', ')
    throw kafkaFailure(
      new AggregateError(failures, describeError(failures.at(-1))),
      `no connection to ${tried} ${connection.tls === null ? 'without' : 'with'} TLS`,
    )
  }

  async function connectTo(broker: number | 'any'): Promise<Connection> {
    if (closed) throw new PotokError('ShuttingDown', 'the connections to Kafka are closed')
    if (broker === 'any') return await connectAny()
    const address = addresses.get(broker)
    if (address === undefined) {
      throw new PotokError('Unavailable', `Kafka: broker ${broker} is not there at the moment`)
    }
    try {
      return await connect(address)
    } catch (error) {
      const where = `${address.host}:${address.port}`
      throw kafkaFailure(error, `no connection to broker ${broker} at ${where}`)
    }
  }

  async function request<Arguments extends unknown[], Answer>(
    broker: number | 'any',
    api: API<Arguments, Answer>,
    args: Arguments,
    timeoutMs = connection.requestTimeoutMs,
  ): Promise<Answer> {
    const made = await connectTo(broker)
    return await new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => {
        destroy(made)
        reject(
          new PotokError(
            'Timeout',
            `Kafka: broker ${broker} has not answered within ${timeoutMs} ms`,
          ),
        )
      }, timeoutMs)
      api.async(made, ...args).then(
        (answer) => {
          clearTimeout(timer)
          resolve(answer)
        },
        (error: unknown) => {
          clearTimeout(timer)
          reject(error instanceof Error ? error : new Error(String(error)))
        },
      )
    })
  }

  async function describeTopic(name: string): Promise<KafkaTopic | null> {
    let answer: Awaited<ReturnType<typeof metadataV12.api.async>>
    try {
      answer = await request('any', metadataV12.api, [[name], false, false])
    } catch (error) {
      // Partitions without a leader are an error to platformatic, and a state to us.
      const found = answerIn(error) as typeof answer | null
      if (found === null) throw kafkaFailure(error, `can't ask for topic ${name}`)
      answer = found
    }
    const [topic] = answer.topics
    const { clusterId } = answer
    if (answer.brokers.length > 0) {
      addresses = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    }
    if (topic === undefined || topic.errorCode === brokerError.unknownTopicOrPartition) return null
    const failed =
      topic.errorCode !== brokerError.none && topic.errorCode !== brokerError.leaderNotAvailable
    if (failed || clusterId == null) throw topicRefused(name, topic.errorCode)
    return {
      clusterId,
      name,
      topicId: topic.topicId,
      partitions: topic.partitions
        .map(({ partitionIndex, leaderId, leaderEpoch, replicaNodes }) => ({
          index: partitionIndex,
          leader: leaderId,
          leaderEpoch,
          replicas: replicaNodes.length,
        }))
        .sort((a, b) => a.index - b.index),
    }
  }

  return {
    request,
    describeTopic,
    brokerCount: () => addresses.size,
    async close() {
      closed = true
      const open = [...connections.values()]
      connections.clear()
      for (const one of await Promise.allSettled(open)) {
        if (one.status === 'fulfilled') destroy(one.value)
      }
    },
  }
}

function topicRefused(name: string, errorCode: number): PotokError {
  return errorCode === brokerError.topicAuthorizationFailed
    ? refusal(`Kafka: this user may not see topic ${name} (ACL: DESCRIBE)`)
    : new PotokError('Unavailable', `Kafka: topic ${name} can't be used (error ${errorCode})`, {
        context: { topic: name, errorCode },
      })
}

/** At once; `close` would wait for what is still to be written. */
function destroy(connection: Connection): void {
  try {
    connection.socket.destroy()
  } catch {
    // There is none before the first attempt to connect.
  }
}
