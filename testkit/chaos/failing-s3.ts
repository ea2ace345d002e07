/**
 * An S3 store in front of the real one that has a bad time: 503 before anything was done, or 500 after all of
 * it was. Requests go on as they came, `Host` included, since signatures cover it.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'

export type FailingS3 = {
  readonly port: number
  /** `slow-down`: 503 and nothing done. `done`: passed on, and 500 in place of the answer. */
  set(kind: 'slow-down' | 'done'): void
  failed(): number
  stop(): Promise<void>
}

export async function startFailingS3(targetPort: number): Promise<FailingS3> {
  let kind: 'slow-down' | 'done' = 'slow-down'
  let failed = 0

  function fail(response: ServerResponse, status: number, code: string): void {
    failed++
    response.writeHead(status, { 'content-type': 'application/xml' })
    response.end(
      `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>on purpose</Message></Error>`,
    )
  }

  function handle(incoming: IncomingMessage, response: ServerResponse): void {
    if (kind === 'slow-down') {
      // Taken first: an answer before the end of a request looks like a broken connection to some.
      incoming.resume()
      incoming.on('end', () => fail(response, 503, 'SlowDown'))
      return
    }
    const passedOn = request({
      host: '127.0.0.1',
      port: targetPort,
      method: incoming.method,
      path: incoming.url,
      headers: incoming.headers,
    })
    passedOn.on('response', (answer) => {
      answer.resume()
      answer.on('end', () => fail(response, 500, 'InternalError'))
    })
    passedOn.on('error', () => response.destroy())
    incoming.on('error', () => passedOn.destroy())
    incoming.pipe(passedOn)
  }

  const server = createServer(handle)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    set: (next) => {
      kind = next
    },
    failed: () => failed,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
