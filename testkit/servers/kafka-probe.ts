/**
 * The smallest question to a Kafka broker that only one that serves can answer: which nodes are in the cluster?
 * Asked by hand (a Metadata request of version 1), so that no client library stands between a suite and its server.
 */
import { connect } from 'node:net'

const metadataKey = 3
const metadataVersion = 1
const correlationId = 7
const answerMsMax = 5_000
const answerBytesMax = 1024 * 1024

/** The ids of the brokers that this one knows to be alive; fails where it doesn't answer. */
export async function aliveBrokers(port: number, host = '127.0.0.1'): Promise<number[]> {
  return parseMetadata(await exchange(host, port, metadataRequest()))
}

/** Header (key, version, correlation id, client id) and an array of no topics. */
function metadataRequest(): Buffer {
  const client = Buffer.from('probe')
  const request = Buffer.alloc(4 + 2 + 2 + 4 + 2 + client.length + 4)
  let at = request.writeInt32BE(request.length - 4, 0)
  at = request.writeInt16BE(metadataKey, at)
  at = request.writeInt16BE(metadataVersion, at)
  at = request.writeInt32BE(correlationId, at)
  at = request.writeInt16BE(client.length, at)
  at += client.copy(request, at)
  request.writeInt32BE(0, at)
  return request
}

/** Correlation id, then an array of brokers: id, host, port, rack (null: length −1). */
function parseMetadata(answer: Buffer): number[] {
  if (answer.readInt32BE(0) !== correlationId) throw new Error('an answer to another request')
  let at = 8
  const skipText = (): void => {
    at += 2 + Math.max(0, answer.readInt16BE(at))
  }
  return Array.from({ length: answer.readInt32BE(4) }, () => {
    const id = answer.readInt32BE(at)
    at += 4
    skipText()
    at += 4
    skipText()
    return id
  })
}

async function exchange(host: string, port: number, request: Buffer): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ host, port })
    let received = Buffer.alloc(0)
    socket.setTimeout(answerMsMax, () => socket.destroy(new Error('no answer in time')))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the connection was closed without an answer')))
    socket.once('connect', () => socket.write(request))
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (received.length < 4) return
      const size = received.readInt32BE(0)
      if (size > answerBytesMax) socket.destroy(new Error(`an answer of ${size} bytes`))
      if (received.length < 4 + size) return
      resolve(received.subarray(4, 4 + size))
      socket.destroy()
    })
  })
}
