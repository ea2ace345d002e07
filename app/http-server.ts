/** Listening and closing of an express app, with time limits that a slow or dead client can't outlast. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Express } from 'express'
import { intakeServerOptions } from '../ingest/gateway/intake-limits.ts'
import { PotokError } from '../kernel/errors.ts'

export type Listening = {
  readonly url: string
  readonly port: number
  /** Takes no new request, waits for those under way, then cuts what is left. */
  close(deadlineMs: number): Promise<void>
}

export async function listen(
  app: Express,
  options: { host: string; port: number; name: string; flag: string },
): Promise<Listening> {
  const server = createServer(intakeServerOptions, app)
  server.maxConnections = 10_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new PotokError(
              'AlreadyExists',
              `${options.name} can't listen on ${options.host}:${options.port}: the port is in use; choose another with ${options.flag}`,
            )
          : new PotokError(
              'Unavailable',
              `${options.name} can't listen on ${options.host}:${options.port}`,
              { cause: error },
            ),
      )
    })
    server.listen(options.port, options.host, resolve)
  })
  const { port } = server.address() as AddressInfo
  const host = options.host.includes(':') ? `[${options.host}]` : options.host
  return { url: `http://${host}:${port}`, port, close: (deadlineMs) => close(server, deadlineMs) }
}

async function close(server: Server, deadlineMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), deadlineMs)
    server.close(() => {
      clearTimeout(timer)
      resolve()
    })
    server.closeIdleConnections()
  })
}
