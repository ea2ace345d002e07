/**
 * A TCP proxy on the loopback that fails on purpose: between potok and a server that it needs. It knows bytes,
 * no protocols.
 *
 *   pass       everything goes through
 *   refuse     connections are ended as soon as they are made
 *   blackhole  connections are made and taken, and nothing comes through in either direction, or ever ends
 *   delay      every piece of either direction comes later, in its order
 *   drop       requests go through; at its first byte of answer a connection is cut: done, and nobody was told
 *
 * A connection keeps the fault that it began with, unless `cut` ends it: half-open ones stay half-open though
 * others pass again, as with a firewall that forgot them. New connections go to the targets in turn; one that
 * can't be reached is skipped.
 */
import { connect, createServer, type Socket } from 'node:net'

export type ProxyFault =
  | { readonly kind: 'pass' | 'refuse' | 'blackhole' | 'drop' }
  | { readonly kind: 'delay'; readonly ms: number }

export type FaultProxy = {
  readonly port: number
  /** Of connections that are made from now on. */
  set(fault: ProxyFault): void
  /** Ends all connections that there are. */
  cut(): void
  /** Answers that were dropped so far. */
  dropped(): number
  stop(): Promise<void>
}

const passing: ProxyFault = { kind: 'pass' }
/** Of a delayed direction; beyond it the sender waits. */
const pieceCountMax = 64

/** `targets` is asked for each connection, for servers that come back on another port. */
export async function startFaultProxy(
  targets: () => readonly number[],
  port = 0,
): Promise<FaultProxy> {
  const sockets = new Set<Socket>()
  let fault = passing
  let turn = 0
  let dropped = 0

  function take(socket: Socket): Socket {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    return socket
  }

  function accept(client: Socket): void {
    take(client)
    const begun = fault
    if (begun.kind === 'refuse') client.destroy()
    // Read, so that its end is seen; kept, since nobody says a word.
    else if (begun.kind === 'blackhole') client.on('data', () => undefined)
    else reach(client, begun, [...targets()], turn++)
  }

  function reach(client: Socket, begun: ProxyFault, ports: readonly number[], first: number): void {
    const target = ports[first % Math.max(1, ports.length)]
    if (target === undefined) {
      client.destroy()
      return
    }
    const server = connect(target, '127.0.0.1')
    const rest = ports.filter((other) => other !== target)
    const failed = (): void => {
      if (!client.destroyed) reach(client, begun, rest, 0)
    }
    server.once('error', failed)
    server.once('connect', () => {
      server.removeListener('error', failed)
      take(server)
      join(client, server, begun)
    })
  }

  function join(client: Socket, server: Socket, begun: ProxyFault): void {
    const laterMs = begun.kind === 'delay' ? begun.ms : 0
    // What is under way arrives before the end does.
    client.on('close', () => setTimeout(() => server.destroy(), laterMs))
    server.on('close', () => setTimeout(() => client.destroy(), laterMs))
    if (begun.kind === 'delay') {
      pump(client, server, begun.ms)
      pump(server, client, begun.ms)
      return
    }
    client.pipe(server)
    if (begun.kind !== 'drop') {
      server.pipe(client)
      return
    }
    server.once('data', () => {
      dropped++
      client.destroy()
    })
  }

  const listener = createServer(accept)
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject)
    listener.listen(port, '127.0.0.1', resolve)
  })
  const address = listener.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    set: (next) => {
      fault = next
    },
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
    dropped: () => dropped,
    async stop() {
      const closed = new Promise<void>((resolve) => {
        listener.close(() => resolve())
      })
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** One direction, each piece later by the same time. */
function pump(from: Socket, to: Socket, ms: number): void {
  let waiting = 0
  from.on('data', (piece: Buffer) => {
    waiting++
    if (waiting >= pieceCountMax) from.pause()
    setTimeout(() => {
      waiting--
      if (from.isPaused()) from.resume()
      if (!to.destroyed) to.write(piece)
    }, ms)
  })
  from.on('end', () => setTimeout(() => to.end(), ms))
}
