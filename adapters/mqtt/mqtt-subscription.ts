/**
 * A subscription on somebody else's broker: `$share/GROUP/kvfv/+/events`, or without a group `kvfv/+/events`, QoS
 * 1, MQTT 5, with a session that outlives the process.
 *
 * Invariants
 * - A PUBACK is written only after the message was taken, on the connection that the message came over: a
 *   packet identifier of one connection may be another message's on the next.
 * - Nothing acknowledges by default. mqtt.js sends a PUBACK when `handleMessage` calls back without an error;
 *   here it always calls back with one, which mqtt.js takes for "go on reading, send nothing", and the PUBACK
 *   is written by us.
 * - Unacknowledged messages are bounded: in number by the receive maximum, which the broker obeys, in bytes by
 *   not reading on.
 * - When a connection ends, what waits is given up: the broker has it still and sends it over the next one.
 *
 * Mosquitto 2.0.11 forgets shared subscriptions (plain ones not) when it restarts, and then acknowledges and drops
 * what comes before they are made again: nothing here can change that, but not sharing.
 *
 * The session is never ended: another broker's queue of a client that is gone for good is that broker's to expire.
 */
import { connect, type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { describeError } from '../../kernel/errors.ts'
import {
  eventsTopicFilter,
  type MessageSource,
  type TakeMessage,
} from '../../kernel/message-source.ts'
import type { Clock, Logger, ServiceHealth } from '../../kernel/ports.ts'
import { createAckOrder, type AckOrder } from './ack-order.ts'
import { settledWithin } from './settled-within.ts'

export type MqttSubscriptionOptions = {
  /** mqtt(s)://host:port */
  readonly url: string
  readonly username: string | null
  readonly password: string | null
  /** PEM; null: the authorities that Node trusts. */
  readonly ca: string | null
  /** The session's name: another process with the same one takes the session away. */
  readonly clientId: string
  /** Of a shared subscription; null: nobody else takes a part of the messages. */
  readonly group: string | null
  readonly clock: Clock
  readonly logger: Logger
  readonly limits?: Partial<SubscriptionLimits>
}

export type SubscriptionLimits = {
  readonly unacknowledgedMax: number
  readonly unacknowledgedBytesMax: number
  /** A broker discards what is larger; up to it a message is taken, or kept as rejected. */
  readonly packetBytesMax: number
  readonly sessionSeconds: number
  readonly keepAliveSeconds: number
  readonly reconnectMs: number
  readonly connectMsMax: number
}

const defaultLimits: SubscriptionLimits = {
  unacknowledgedMax: 1_000,
  unacknowledgedBytesMax: 64 * 1_024 * 1_024,
  packetBytesMax: 64 * 1_024 * 1_024,
  sessionSeconds: 7 * 86_400,
  keepAliveSeconds: 30,
  reconnectMs: 1_000,
  connectMsMax: 10_000,
}

const sessionTakenOver = 0x8e
/** A connection that ends sooner than this is short; so many in a row are no accident. */
const shortMsMax = 10_000
const shortLivesMax = 3

/** What one connection has unacknowledged. */
type Connection = {
  readonly abort: AbortController
  readonly order: AckOrder
  readonly stream: MqttClient['stream']
}

export function createMqttSubscription(options: MqttSubscriptionOptions): MessageSource {
  const { clock, logger } = options
  const limits = { ...defaultLimits, ...options.limits }
  const { group } = options
  const topic = group === null ? eventsTopicFilter : `$share/${group}/${eventsTopicFilter}`
  let client: MqttClient | null = null
  let connection: Connection | null = null
  let isSubscribed = false
  let isClosing = false
  let problem: string | null = 'it has not connected yet'
  let problemSinceMs = clock.nowMs()
  let messages = 0
  let bytes = 0
  let connections = 0
  let subscribedAtMs = 0
  let shortLives = 0
  let unkept = 0
  const underWay = new Set<Promise<void>>()
  /** mqtt.js waits for it before it hands over the next message. */
  let readOn: (() => void) | null = null

  function failed(why: string): void {
    if (problem === null) problemSinceMs = clock.nowMs()
    if (problem !== why) logger.warn({ url: options.url, topic }, `MQTT subscription: ${why}`)
    problem = why
  }

  function forget(payloadBytes: number): void {
    messages--
    bytes -= payloadBytes
    if (readOn === null || bytes > limits.unacknowledgedBytesMax || isClosing) return
    const go = readOn
    readOn = null
    go()
  }

  /** Messages may come before mqtt.js says that it is connected. */
  function connectionOf({ stream }: MqttClient): Connection {
    if (connection?.stream === stream) return connection
    connection?.abort.abort()
    connection = { abort: new AbortController(), order: createAckOrder(), stream }
    return connection
  }

  function onMessage(
    mqtt: MqttClient,
    take: TakeMessage,
    packet: IPublishPacket,
    next: () => void,
  ): void {
    if (isClosing) return
    const { payload: given, qos, messageId } = packet
    const current = connectionOf(mqtt)
    const payload = typeof given === 'string' ? Buffer.from(given) : given
    const contentType = packet.properties?.contentType ?? null
    messages++
    bytes += payload.length
    const taken = take({ topic: packet.topic, payload, contentType }, current.abort.signal)
    const acknowledged =
      qos === 0 || messageId === undefined
        ? taken.catch(() => {
            // At most once is what its publisher asked for.
            unkept++
          })
        : current.order(taken, () => acknowledge(current, messageId))
    const settled = acknowledged
      .catch(() => undefined)
      .finally(() => {
        underWay.delete(settled)
        forget(payload.length)
        if (qos === 0) next()
      })
    underWay.add(settled)
    // Without acknowledgements a broker has no bound of its own: one after the other.
    if (qos === 0) return
    if (bytes <= limits.unacknowledgedBytesMax) next()
    else readOn = next
  }

  function onConnect(mqtt: MqttClient): void {
    connections++
    // Each time, whether the broker still knows the session or not: it costs nothing.
    mqtt.subscribe(topic, { qos: 1 }, (error, granted) => {
      const refused = error ?? (granted?.some(({ qos }) => qos >= 128) === true ? 'refused' : null)
      if (refused === null) {
        isSubscribed = true
        subscribedAtMs = clock.nowMs()
        problem = null
        return
      }
      failed(`the broker does not give ${topic}: ${describeError(refused)}`)
    })
  }

  function onClose(): void {
    if (isSubscribed) shortLives = clock.nowMs() - subscribedAtMs < shortMsMax ? shortLives + 1 : 0
    connection?.abort.abort()
    connection = null
    isSubscribed = false
    readOn = null
    if (!isClosing) failed(problem ?? 'the connection to the broker is lost')
  }

  function health(): ServiceHealth {
    const details = {
      connected: isSubscribed ? 1 : 0,
      connections,
      messagesInFlight: messages,
      bytesInFlight: bytes,
      unkeptQos0: unkept,
      clientId: options.clientId,
    }
    const isLasting = isSubscribed && clock.nowMs() - subscribedAtMs >= shortMsMax
    if (shortLives >= shortLivesMax && !isLasting) {
      // Not every broker says that a session was taken over.
      const reason = `the connection to ${options.url} ended ${shortLives} times soon after it was made: does another process use the session ${options.clientId}? Give each a --mqtt-client-id of its own`
      return { ok: false, reason, details }
    }
    if (isSubscribed && problem === null) return { ok: true, details }
    const seconds = Math.round((clock.nowMs() - problemSinceMs) / 1_000)
    const why = problem ?? 'it is not subscribed'
    return {
      ok: false,
      reason: `no messages from ${options.url} for ${seconds} s: ${why}`,
      details,
    }
  }

  return {
    health,

    async open(take) {
      const mqtt = connect(options.url, clientOptions(options, limits))
      client = mqtt
      mqtt.handleMessage = (packet, callback) => {
        onMessage(mqtt, take, packet, () => callback(acknowledgedLater))
      }
      mqtt.on('connect', () => onConnect(mqtt))
      mqtt.on('close', onClose)
      mqtt.on('error', (error) => failed(describeError(error)))
      mqtt.on('disconnect', ({ reasonCode }) => {
        failed(
          reasonCode === sessionTakenOver
            ? `another client took over the session ${options.clientId}: give each process a --mqtt-client-id of its own`
            : `the broker ended the connection (reason ${reasonCode ?? 0})`,
        )
      })
    },

    async close(deadlineMs) {
      isClosing = true
      const mqtt = client
      if (mqtt === null) return
      await settledWithin(underWay, deadlineMs)
      connection?.abort.abort()
      await mqtt.endAsync(!mqtt.connected)
    },
  }
}

/** No failure: it keeps mqtt.js from sending a PUBACK of its own. */
const acknowledgedLater = new Error('acknowledged when it is taken')

/** The four bytes that are a PUBACK of success in every version of MQTT. */
function acknowledge({ stream, abort }: Connection, messageId: number): void {
  if (abort.signal.aborted || stream.destroyed) return
  stream.write(Buffer.from([0x40, 0x02, messageId >> 8, messageId & 0xff]))
}

function clientOptions(
  options: MqttSubscriptionOptions,
  limits: SubscriptionLimits,
): IClientOptions {
  const { username, password, ca, clientId } = options
  return {
    protocolVersion: 5,
    clientId,
    clean: false,
    keepalive: limits.keepAliveSeconds,
    reconnectPeriod: limits.reconnectMs,
    reconnectOnConnackError: true,
    connectTimeout: limits.connectMsMax,
    // Done on each connection here.
    resubscribe: false,
    properties: {
      sessionExpiryInterval: limits.sessionSeconds,
      receiveMaximum: limits.unacknowledgedMax,
      maximumPacketSize: limits.packetBytesMax,
    },
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(ca === null ? {} : { ca }),
  }
}
