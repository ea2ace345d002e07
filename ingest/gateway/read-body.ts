/**
 * Reads a request's body straight from the stream, inflating it on the way, with a bound on what is kept.
 *
 * Invariant: memory grows with the bytes that really came out, in doubling steps that are reserved before
 * they are allocated. A declared length reserves nothing (it may be a lie), and inflating stops at the
 * first piece that passes the bound: a zip bomb costs one piece of output.
 */
import type { IncomingMessage } from 'node:http'
import { createGunzip, type Gunzip } from 'node:zlib'
import { PotokError } from '../../kernel/errors.ts'
import type { Reservation } from './byte-budget.ts'

export type BodyEncoding = 'identity' | 'gzip'

const firstCapacityBytes = 64 * 1_024
const inflatedPieceBytes = 64 * 1_024

/** TooLarge, Overloaded, or InvalidInput (damaged gzip, connection lost). The stream is left flowing into nothing. */
export async function readBody(
  request: IncomingMessage,
  encoding: BodyEncoding,
  bodyBytesMax: number,
  reservation: Reservation,
): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0)
  if (declared > bodyBytesMax) {
    request.resume()
    throw tooLarge(bodyBytesMax)
  }
  const collector = createCollector(bodyBytesMax, reservation)
  return await new Promise<Buffer>((resolve, reject) => {
    let received = 0
    const gunzip = encoding === 'gzip' ? createGunzip({ chunkSize: inflatedPieceBytes }) : null
    const settle = (act: () => void) => {
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
      // Left without a listener a destroyed Gunzip could still throw its error at the process.
      gunzip?.removeAllListeners().on('error', () => {})
      gunzip?.destroy()
      request.resume()
      act()
    }
    const fail = (error: unknown) => settle(() => reject(error))
    const finish = () => settle(() => resolve(collector.result()))
    const take = (piece: Buffer) => {
      try {
        collector.take(piece)
      } catch (error) {
        fail(error)
      }
    }
    const onData = (piece: Buffer) => {
      received += piece.length
      if (received > bodyBytesMax) fail(tooLarge(bodyBytesMax))
      else if (gunzip === null) take(piece)
      else if (!gunzip.write(piece)) request.pause()
    }
    const onEnd = () => {
      if (gunzip === null) finish()
      else gunzip.end()
    }
    const onClose = () => {
      if (!request.complete) fail(new PotokError('InvalidInput', 'the connection was lost'))
    }
    if (gunzip !== null)
      listenToGunzip(gunzip, { take, finish, fail, resume: () => request.resume() })
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
  })
}

/** A body that is in memory as gzip, within the same bounds. TooLarge, Overloaded, InvalidInput (damaged). */
export async function inflateBody(
  compressed: Uint8Array,
  bodyBytesMax: number,
  reservation: Reservation,
): Promise<Buffer> {
  const collector = createCollector(bodyBytesMax, reservation)
  const gunzip = createGunzip({ chunkSize: inflatedPieceBytes })
  return await new Promise<Buffer>((resolve, reject) => {
    const settle = (act: () => void) => {
      gunzip.removeAllListeners().on('error', () => {})
      gunzip.destroy()
      act()
    }
    const fail = (error: unknown) => settle(() => reject(error))
    const take = (piece: Buffer) => {
      try {
        collector.take(piece)
      } catch (error) {
        fail(error)
      }
    }
    const finish = () => settle(() => resolve(collector.result()))
    listenToGunzip(gunzip, { take, finish, fail, resume: () => undefined })
    gunzip.end(compressed)
  })
}

function listenToGunzip(
  gunzip: Gunzip,
  on: {
    take: (piece: Buffer) => void
    finish: () => void
    fail: (error: unknown) => void
    resume: () => void
  },
): void {
  gunzip
    .on('data', on.take)
    .on('drain', on.resume)
    .on('end', on.finish)
    .on('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'Z_BUF_ERROR' ? 'it ends too early' : cause.message
      on.fail(new PotokError('InvalidInput', `the body is not valid gzip: ${why}`, { cause }))
    })
}

function createCollector(bodyBytesMax: number, reservation: Reservation) {
  let buffer = Buffer.alloc(0)
  let length = 0
  return {
    take(piece: Buffer): void {
      const needed = length + piece.length
      if (needed > bodyBytesMax) throw tooLarge(bodyBytesMax)
      if (needed > buffer.length) {
        let capacity = Math.max(buffer.length, firstCapacityBytes)
        while (capacity < needed) capacity *= 2
        capacity = Math.min(capacity, Math.max(bodyBytesMax, needed))
        reservation.add(capacity - buffer.length)
        const larger = Buffer.allocUnsafeSlow(capacity)
        buffer.copy(larger, 0, 0, length)
        buffer = larger
      }
      piece.copy(buffer, length)
      length = needed
    },
    result: (): Buffer => buffer.subarray(0, length),
  }
}

function tooLarge(bodyBytesMax: number): PotokError {
  return new PotokError(
    'TooLarge',
    `the body is larger than ${bodyBytesMax} bytes (after inflating); send several smaller ones`,
    { context: { maxBytes: bodyBytesMax } },
  )
}
