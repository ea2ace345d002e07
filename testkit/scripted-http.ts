/**
 * An HTTP server on the loopback that plays what a test tells it: answers, and everything that networks do to
 * them. It keeps what it was asked.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type SeenRequest = {
  readonly method: string
  /** With the query, as it came. */
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export type ScriptedAnswer = {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** An object goes out as JSON. */
  readonly body?: string | object
  /**
   * `cut`: the connection ends without an answer; `half`: in the middle of the body; `hang`: nothing more
   * comes, until the server closes.
   */
  readonly fault?: 'cut' | 'half' | 'hang'
}

export type ScriptedServer = {
  readonly url: string
  readonly seen: SeenRequest[]
  close(): Promise<void>
}

export async function startScriptedServer(
  answer: (request: SeenRequest, index: number) => ScriptedAnswer,
): Promise<ScriptedServer> {
  const seen: SeenRequest[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request
      const one = { method, path, headers, body: Buffer.concat(chunks).toString() }
      seen.push(one)
      play(response, answer(one, seen.length - 1))
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function play(response: ServerResponse, scripted: ScriptedAnswer): void {
  const { status = 200, headers = {}, body = {}, fault } = scripted
  if (fault === 'hang') return
  if (fault === 'cut') {
    response.destroy()
    return
  }
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  const hasBody = status !== 204 && status !== 304
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(hasBody ? { 'content-length': bytes.length } : {}),
    ...headers,
  })
  if (fault === 'half') {
    response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => response.destroy())
    return
  }
  response.end(hasBody ? bytes : undefined)
}
