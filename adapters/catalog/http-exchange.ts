/**
 * One request over HTTP and its whole answer, within a time and a size. Knows nothing of catalogs.
 *
 * Invariant: `HttpFailure.isSent` is false only where no byte of the request can have reached the server.
 * It doesn't follow redirects (a commit must not go where nobody configured), retry, or use a proxy.
 */
import { readFile } from 'node:fs/promises'
import { Agent as HttpAgent, type IncomingHttpHeaders, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import type { Socket } from 'node:net'
import { getCACertificates } from 'node:tls'
import { describeError, PotokError } from '../../kernel/errors.ts'

export type HttpRequest = {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /**
   * On a connection of its own: one that was kept open may be closed by the server at the very moment, and
   * then nobody knows whether it has read the request.
   */
  readonly isFresh?: boolean
}

export type HttpAnswer = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

export class HttpFailure extends Error {
  readonly isSent: boolean
  readonly isTimeout: boolean
  constructor(message: string, options: { isSent: boolean; isTimeout?: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'HttpFailure'
    this.isSent = options.isSent
    this.isTimeout = options.isTimeout ?? false
  }
}

export type HttpExchange = {
  send(request: HttpRequest): Promise<HttpAnswer>
  /** Cuts what is under way; nothing is sent after it. */
  close(): void
  isClosed(): boolean
}

const connectionsMax = 16

/** `caFile`: PEM certificates trusted beside those that Node trusts. */
export async function openHttpExchange(options: {
  readonly timeoutMs: number
  readonly bodyBytesMax: number
  readonly caFile?: string
}): Promise<HttpExchange> {
  const ca = options.caFile === undefined ? undefined : await certificates(options.caFile)
  const tls = ca === undefined ? {} : { ca }
  const http = new HttpAgent({ keepAlive: true, maxSockets: connectionsMax })
  const https = new HttpsAgent({ keepAlive: true, maxSockets: connectionsMax, ...tls })
  const underWay = new Set<() => void>()
  let isClosed = false

  function send(request: HttpRequest): Promise<HttpAnswer> {
    if (isClosed) return Promise.reject(new HttpFailure('closed from our side', { isSent: false }))
    return new Promise((resolve, reject) => {
      const { method, url, headers, body, isFresh } = request
      const isTls = url.protocol === 'https:'
      let isSent = false
      const how = { method, headers, ...tls, agent: isFresh ? false : isTls ? https : http }
      const client = (isTls ? requestHttps : requestHttp)(url, how)
      const fail = (message: string, more: { isTimeout?: boolean; cause?: unknown } = {}): void => {
        settle()
        reject(new HttpFailure(message, { isSent, ...more }))
        client.destroy()
      }
      const timer = setTimeout(() => {
        fail(`no answer within ${options.timeoutMs} ms`, { isTimeout: true })
      }, options.timeoutMs)
      const cut = (): void => fail('closed from our side')
      underWay.add(cut)
      const settle = (): void => {
        clearTimeout(timer)
        underWay.delete(cut)
      }
      client.on('socket', (socket: Socket) => {
        if (!socket.connecting) isSent = true
        // Before the handshake is over nothing of the request has left.
        else socket.once(isTls ? 'secureConnect' : 'connect', () => (isSent = true))
      })
      client.on('error', (cause) => fail(describeError(cause), { cause }))
      client.on('response', (response) => {
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          chunks.push(chunk)
          if (bytes > options.bodyBytesMax) {
            fail(`the answer is larger than ${options.bodyBytesMax} bytes`)
          }
        })
        response.on('error', (cause) => fail('the answer broke off', { cause }))
        response.on('end', () => {
          settle()
          const text = Buffer.concat(chunks).toString('utf8')
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
        })
      })
      client.end(body)
    })
  }

  return {
    send,
    isClosed: () => isClosed,
    close() {
      isClosed = true
      for (const cut of underWay) cut()
      http.destroy()
      https.destroy()
    },
  }
}

async function certificates(file: string): Promise<string[]> {
  try {
    return [...getCACertificates('default'), await readFile(file, 'utf8')]
  } catch (cause) {
    throw new PotokError('InvalidInput', `the file of certificates ${file} can't be read`, {
      cause,
    })
  }
}
