/**
 * As much of an MQTT 5 broker as a test of one subscriber needs, in plain bytes: it takes every CONNECT and
 * SUBSCRIBE, publishes what the test says, and tells what it was sent. Nothing is sent again by itself.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'

export type ScriptedBroker = {
  readonly url: string
  /** Packet types in the order of their coming, over all connections: 1 CONNECT, 8 SUBSCRIBE, 4 PUBACK … */
  readonly received: { readonly type: number; readonly id: number | null }[]
  /** QoS 1 where it has an id, else 0. */
  publish(topic: string, payload: string, id?: number): void
  /** Cuts the connection without a word. */
  cut(): void
  /** Ends it with DISCONNECT and a reason. */
  disconnect(reason: number): void
  close(): Promise<void>
}

export async function startScriptedBroker(
  options: { sessionPresent?: boolean; subackReason?: number } = {},
): Promise<ScriptedBroker> {
  const received: { type: number; id: number | null }[] = []
  let current: Socket | null = null
  const server = createServer((socket) => {
    current = socket
    let buffered: Buffer = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('data', (bytes: Buffer) => {
      buffered = Buffer.concat([buffered, bytes])
      // Lengths in these tests take one byte, but for CONNECT, which may take two.
      for (let whole = takePacket(buffered); whole !== null; whole = takePacket(buffered)) {
        buffered = whole.rest
        answer(socket, whole.type, whole.body)
      }
    })
  })

  function answer(socket: Socket, type: number, body: Buffer): void {
    const hasId = type === 4 || type === 8
    received.push({ type, id: hasId ? body.readUInt16BE(0) : null })
    if (type === 1) socket.write(packet(0x20, [options.sessionPresent === true ? 1 : 0, 0, 0]))
    if (type === 8) {
      socket.write(packet(0x90, [...body.subarray(0, 2), 0, options.subackReason ?? 1]))
    }
    if (type === 12) socket.write(packet(0xd0, []))
  }

  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `mqtt://127.0.0.1:${port}`,
    received,
    publish(topic, payload, id) {
      const name = Buffer.from(topic)
      const idBytes = id === undefined ? [] : [id >> 8, id & 0xff]
      const body = [0, name.length, ...name, ...idBytes, 0, ...Buffer.from(payload)]
      current?.write(packet(id === undefined ? 0x30 : 0x32, body))
    },
    cut: () => current?.destroy(),
    disconnect: (reason) => current?.end(packet(0xe0, [reason, 0])),
    close: async () => {
      current?.destroy()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
      })
    },
  }
}

function packet(header: number, body: readonly number[]): Buffer {
  const { length } = body
  const size = length < 128 ? [length] : [(length & 0x7f) | 0x80, length >> 7]
  return Buffer.from([header, ...size, ...body])
}

function takePacket(bytes: Buffer): { type: number; body: Buffer; rest: Buffer } | null {
  const [header, first = 0, second = 0] = bytes
  if (header === undefined || bytes.length < 2) return null
  const isLong = first >= 0x80
  const length = isLong ? (first & 0x7f) + second * 128 : first
  const start = isLong ? 3 : 2
  if (bytes.length < start + length) return null
  const body = bytes.subarray(start, start + length)
  return { type: header >> 4, body, rest: bytes.subarray(start + length) }
}
