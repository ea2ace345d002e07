/**
 * The MQTT broker of `potok up`: aedes as the protocol's state machine, and nothing of a broker beside intake.
 * Nobody subscribes, no session is kept, no message is stored: a PUBLISH goes to the intake and nowhere else.
 *
 * Invariants
 * - PUBACK (QoS 1) and PUBREC (QoS 2) are written only after the message was taken. aedes writes the PUBACK
 *   before it publishes; the one place in front of that is `authorizePublish`, and so it is there that messages
 *   are taken. Where taking fails the connection is closed, and the client sends again.
 * - A user publishes to `kvfv/<its name>/events` only. MQTT 3.1.1 has no answer for "not allowed" but the end of
 *   the connection.
 * - Memory is bounded by connections × (one read + small packets) and the bytes that all may hold together.
 *   aedes keeps payloads of QoS 2 until PUBREL, retained messages, wills and sessions of clients that are away
 *   without a bound of bytes: payloads are emptied once taken, nothing is retained, wills are not published, and
 *   every session is a clean one.
 *
 * aedes speaks MQTT 3.1 and 3.1.1; a client of version 5 is told so and goes down to it, or gives up.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { Aedes, type Client, type PublishPacket } from 'aedes'
import { describeError, PotokError } from '../../kernel/errors.ts'
import { eventsTopicOf, type MessageSource, type TakeMessage } from '../../kernel/message-source.ts'
import type { Logger, ServiceHealth } from '../../kernel/ports.ts'
import { type AckOrder, createAckOrder } from './ack-order.ts'
import { GuardedStream, type SharedBytes, type StreamLimits } from './guarded-stream.ts'
import { settledWithin } from './settled-within.ts'
import type { Users } from './users.ts'

export type EmbeddedBrokerOptions = {
  readonly host: string
  readonly port: number
  /** Null: nobody has a name, and everybody may publish as any camera. */
  readonly users: Users | null
  readonly tls: { readonly cert: string; readonly key: string } | null
  readonly logger: Logger
  readonly limits?: Partial<BrokerLimits>
}

export type BrokerLimits = StreamLimits & {
  readonly connectionsMax: number
  readonly heldBytesMax: number
  readonly connectMsMax: number
  /** A client must promise to be heard of at least so often, and is cut off after one and a half of it. */
  readonly keepAliveSecondsMax: number
}

const defaultLimits: BrokerLimits = {
  connectionsMax: 5_000,
  heldBytesMax: 64 * 1_024 * 1_024,
  connectMsMax: 10_000,
  keepAliveSecondsMax: 3_600,
  firstPacketBytesMax: 16_384,
  packetBytesMax: 16 * 1_024 * 1_024 + 65_536,
  messagesMax: 100,
}

export type EmbeddedBroker = MessageSource & { url(): string | null }

/** Of one connection. */
type Session = { readonly abort: AbortController; readonly order: AckOrder; name: string | null }

export function createEmbeddedBroker(options: EmbeddedBrokerOptions): EmbeddedBroker {
  const { host, port, users, logger } = options
  const limits = { ...defaultLimits, ...options.limits }
  const shared: SharedBytes = { used: 0, max: limits.heldBytesMax }
  const sessions = new WeakMap<Client, Session>()
  const underWay = new Set<Promise<void>>()
  const streams = new Set<GuardedStream>()
  const refused = { connections: 0, logins: 0, topics: 0, subscriptions: 0 }
  let server: Server | null = null
  let broker: Aedes | null = null
  let boundPort = port
  let isClosing = false

  function sessionOf(client: Client): Session {
    let session = sessions.get(client)
    if (session === undefined) {
      session = { abort: new AbortController(), order: createAckOrder(), name: null }
      sessions.set(client, session)
      const { abort } = session
      client.conn.once('close', () => abort.abort())
    }
    return session
  }

  async function authenticate(
    client: Client,
    name: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<boolean> {
    if (users === null) return true
    const isKnown = name !== undefined && (await users.check(name, password ?? new Uint8Array()))
    if (isKnown) sessionOf(client).name = name
    else {
      refused.logins++
      const from = JSON.stringify((name ?? '').slice(0, 128))
      logger.warn({ user: from }, 'MQTT: wrong user or password')
    }
    return isKnown
  }

  function take(client: Client, packet: PublishPacket, taker: TakeMessage): Promise<void> {
    const { topic, payload: given } = packet
    const session = sessionOf(client)
    if (isClosing) return Promise.reject(new PotokError('ShuttingDown', 'potok is shutting down'))
    if (users !== null && (session.name === null || topic !== eventsTopicOf(session.name))) {
      refused.topics++
      const error = `user ${JSON.stringify(session.name)} may not publish to ${JSON.stringify(topic.slice(0, 200))}`
      logger.warn({}, `MQTT: ${error}`)
      return Promise.reject(new PotokError('InvalidInput', error))
    }
    const payload = typeof given === 'string' ? Buffer.from(given) : given
    const taken = taker({ topic, payload, contentType: null }, session.abort.signal)
    ;(client.conn as GuardedStream).hold(payload.length, taken)
    packet.payload = Buffer.alloc(0)
    packet.retain = false
    return taken
  }

  function createAedes(taker: TakeMessage): Aedes {
    const aedes = new Aedes({
      connectTimeout: limits.connectMsMax,
      keepaliveLimit: limits.keepAliveSecondsMax,
      maxTopicLevels: 10,
      preConnect(client, packet, answer) {
        packet.clean = true
        delete packet.will
        sessionOf(client)
        answer(null, true)
      },
      authenticate(client, name, password, answer) {
        authenticate(client, name, password).then(
          (isKnown) => answer(null, isKnown),
          (error: unknown) => {
            logger.error({ error: describeError(error) }, 'MQTT: a login met a fault')
            answer(null, false)
          },
        )
      },
      authorizePublish(client, packet, answer) {
        // Without a client it is aedes' own news ($SYS), or a will, which there is none of.
        if (client === null) {
          answer(null)
          return
        }
        const taken = take(client, packet, taker)
        const answered = sessionOf(client).order(taken, () => answer(null))
        const settled = answered
          .catch((error: unknown) =>
            answer(error instanceof Error ? error : new Error('not taken')),
          )
          .finally(() => underWay.delete(settled))
        underWay.add(settled)
      },
      authorizeSubscribe(_client, _subscription, answer) {
        refused.subscriptions++
        answer(null, null)
      },
    })
    aedes.on('clientError', (client, error) => {
      logger.debug({ client: client.id, error: error.message }, 'MQTT: a connection ended')
    })
    aedes.on('connectionError', (_client, error) => {
      logger.debug({ error: error.message }, 'MQTT: a connection ended before it was one')
    })
    return aedes
  }

  function onConnection(socket: Socket): void {
    if (streams.size >= limits.connectionsMax || isClosing || broker === null) {
      refused.connections++
      socket.destroy()
      return
    }
    socket.setNoDelay(true)
    const stream = new GuardedStream(socket, limits, shared)
    streams.add(stream)
    stream.once('close', () => streams.delete(stream))
    broker.handle(stream)
  }

  return {
    url: () =>
      server === null ? null : `${options.tls === null ? 'mqtt' : 'mqtts'}://${host}:${boundPort}`,

    async open(taker) {
      const aedes = createAedes(taker)
      await aedes.listen()
      broker = aedes
      const listening =
        options.tls === null
          ? createServer(onConnection)
          : createTlsServer({ ...options.tls, handshakeTimeout: limits.connectMsMax }, onConnection)
      listening.on('tlsClientError', (error: Error) => {
        logger.debug({ error: error.message }, 'MQTT: a TLS handshake failed')
      })
      await listen(listening, host, port)
      const address = listening.address()
      if (typeof address === 'object' && address !== null) boundPort = address.port
      server = listening
    },

    async close(deadlineMs) {
      isClosing = true
      server?.close()
      await settledWithin(underWay, deadlineMs)
      for (const stream of streams) stream.destroy()
      await new Promise<void>((resolve) => {
        if (broker === null) resolve()
        else broker.close(resolve)
      })
    },

    health(): ServiceHealth {
      const details = {
        connections: streams.size,
        messagesInFlight: underWay.size,
        bytesInFlight: shared.used,
        refused: { ...refused },
      }
      return server === null
        ? { ok: false, reason: 'the MQTT broker is starting', details }
        : { ok: true, details }
    },
  }
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const what = `the MQTT broker can't listen on ${host}:${port}`
      reject(
        cause.code === 'EADDRINUSE'
          ? new PotokError(
              'AlreadyExists',
              `${what}: the port is in use; choose another with --mqtt-port, or 0 for no broker`,
            )
          : new PotokError('Unavailable', what, { cause }),
      )
    })
    server.listen(port, host, resolve)
  })
}
