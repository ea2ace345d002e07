/**
 * Answers shared through Redis. Any Redis does (a cluster's one node, Valkey); it is best a cache alone:
 * `maxmemory` with `allkeys-lru`, nothing saved (deploy/redis/redis.conf).
 *
 * No request ever waits for a connection, and for an answer `timeoutMs` at most: a Redis that was slower once is
 * let go and not asked for `retryMs`, so one that hangs costs one request in some seconds that time, not all.
 * Requests under way are bounded; above it nothing is asked or kept.
 */
import { createClient, ErrorReply, RESP_TYPES } from '@redis/client'
import { describeError } from '../../kernel/errors.ts'
import type { AnswerStore, Logger } from '../../kernel/ports.ts'

export type RedisAnswerStoreOptions = {
  /** `redis://user:password@host:port/database`, `rediss://…` with TLS. */
  readonly url: string
  readonly logger: Logger
  readonly timeoutMs?: number
  readonly retryMs?: number
  /** For a connection and the words that begin it. */
  readonly connectMs?: number
  /** Nobody asks for most answers again: those go even where there is room. */
  readonly ttlSeconds?: number
  readonly valueBytesMax?: number
}

type Client = ReturnType<typeof openClient>

const keyPrefix = 'potok:answer:'
const underWayMax = 64

export function createRedisAnswerStore(options: RedisAnswerStoreOptions): AnswerStore {
  const { logger, timeoutMs = 100, retryMs = 5_000, ttlSeconds = 86_400 } = options
  const { connectMs = 2_000, valueBytesMax = 4 * 1024 * 1024 } = options
  /** null: not connected. */
  let client: Client | null = null
  /** Being connected. */
  let opening: Client | null = null
  let retry: NodeJS.Timeout | undefined
  let isStopped = false
  let underWay = 0
  let failures = 0
  /** What is wrong now; null: nothing. */
  let problem: string | null = 'not connected yet'
  /** The last trouble that was logged since it was well. */
  let reported: string | null = null

  function open(): void {
    const opened = openClient(options.url)
    opening = opened
    // It is also told of what fails long after.
    opened.on('error', (error: unknown) => lose(opened, error))
    opened.on('end', () => lose(opened, new Error('the connection was closed')))
    // The package's own limit is for the connection alone, not for a server that then says nothing.
    const timer = setTimeout(
      () => lose(opened, new Error(`not connected within ${connectMs} ms`)),
      connectMs,
    )
    opened.connect().then(
      () => {
        clearTimeout(timer)
        if (opening !== opened) return
        opening = null
        client = opened
        problem = null
        reported = null
        logger.info({}, 'answers are shared through Redis')
      },
      (error: unknown) => {
        clearTimeout(timer)
        lose(opened, error)
      },
    )
  }

  /** Lets a connection go, and tries another one later. */
  function lose(lost: Client, error: unknown): void {
    if (lost !== client && lost !== opening) return
    client = null
    opening = null
    close(lost)
    if (isStopped) return
    failures++
    report(error)
    retry = setTimeout(open, retryMs)
    retry.unref()
  }

  /** Once for each kind of trouble of a connection, not once for each request. */
  function report(error: unknown): void {
    problem = describeError(error)
    if (problem === reported) return
    reported = problem
    logger.warn({ error: problem }, 'Redis does not help: answers are made by each process itself')
  }

  /** The result, or null where it fails or takes too long. */
  async function within<T>(send: (connected: Client) => Promise<T>): Promise<T | null> {
    const connected = client
    if (connected === null || underWay >= underWayMax) return null
    underWay++
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    })
    try {
      const result = await Promise.race([send(connected), late])
      problem = null
      return result
    } catch (error) {
      // An answer that is an error (no memory, no rights) comes over a connection that is well.
      if (error instanceof ErrorReply) {
        failures++
        report(error)
      } else {
        lose(connected, error)
      }
      return null
    } finally {
      clearTimeout(timer)
      underWay--
    }
  }

  return {
    get: (key) => within((connected) => connected.get(keyPrefix + key)),
    set(key, bytes) {
      if (bytes.length > valueBytesMax) return
      const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const expiration = { type: 'EX', value: ttlSeconds } as const
      void within((connected) => connected.set(keyPrefix + key, value, { expiration }))
    },
    get stats() {
      return { isConnected: client !== null, failures }
    },
    async start() {
      open()
    },
    async stop() {
      isStopped = true
      clearTimeout(retry)
      for (const each of [client, opening]) if (each !== null) close(each)
      client = null
      opening = null
    },
    health: () => ({
      ok: true,
      details: { connected: client === null ? 0 : 1, failures, problem: problem ?? 'none' },
    }),
  }
}

function openClient(url: string) {
  const client = createClient({
    url,
    // Connections are this adapter's to make; what can't be sent at once is not to be sent later.
    disableOfflineQueue: true,
    commandsQueueMaxLength: 2 * underWayMax,
    maintNotifications: 'disabled',
    socket: { reconnectStrategy: false },
  })
  return client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
}

function close(client: Client): void {
  try {
    client.destroy()
  } catch {
    // It is closed already.
  }
}
