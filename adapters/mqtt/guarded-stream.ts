/**
 * A camera's connection as the broker sees it: the socket behind bounds that aedes does not have.
 *
 * Invariants
 * - No packet above the bound is buffered, and none but a small one before the client is known.
 * - At most `messagesMax` of a connection's messages wait at once: beyond them nothing is read, so that TCP
 *   tells the sender. (aedes reads on at each `readable`, however many packets it has not finished.)
 * - What all connections hold in memory of large packets and waiting messages is bounded together; the
 *   connection that would pass the bound is closed, and sends again.
 */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { PotokError } from '../../kernel/errors.ts'
import { createFrameScanner, type FrameScanner } from './frame-scanner.ts'

export type StreamLimits = {
  readonly firstPacketBytesMax: number
  readonly packetBytesMax: number
  readonly messagesMax: number
}

/** Bytes of all connections. */
export type SharedBytes = { used: number; readonly max: number }

export class GuardedStream extends Duplex {
  readonly #socket: Socket
  readonly #limits: StreamLimits
  readonly #shared: SharedBytes
  readonly #scanner: FrameScanner
  #held = 0
  #messages = 0
  #messageBytes = 0
  #wantsMore = false

  constructor(socket: Socket, limits: StreamLimits, shared: SharedBytes) {
    super({ readableHighWaterMark: 16_384 })
    this.#socket = socket
    this.#limits = limits
    this.#shared = shared
    this.#scanner = createFrameScanner(limits)
    socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    socket.on('end', () => this.push(null))
    socket.on('close', () => this.destroy())
    socket.on('error', (error) => this.destroy(error))
    socket.pause()
  }

  /** A message of this connection waits until the promise settles. */
  hold(payloadBytes: number, taken: Promise<void>): void {
    this.#messages++
    this.#messageBytes += payloadBytes
    if (this.#messages >= this.#limits.messagesMax) this.#socket.pause()
    const settled = () => {
      this.#messages--
      this.#messageBytes -= payloadBytes
      this.#account()
      this.#readOn()
    }
    taken.then(settled, settled)
    if (!this.#account()) this.destroy(tooMuch())
  }

  override _read(): void {
    this.#wantsMore = true
    this.#readOn()
  }

  override _write(bytes: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void) {
    this.#socket.write(bytes, encoding, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    this.#account()
    done(error)
  }

  #onData(bytes: Buffer): void {
    const broken = this.#scanner.see(bytes)
    if (broken !== null) {
      this.destroy(new PotokError('TooLarge', broken))
      return
    }
    if (!this.#account()) {
      this.destroy(tooMuch())
      return
    }
    if (this.push(bytes)) return
    this.#wantsMore = false
    this.#socket.pause()
  }

  #readOn(): void {
    if (this.#wantsMore && this.#messages < this.#limits.messagesMax) this.#socket.resume()
  }

  /** False where it doesn't fit. Small beginnings are as bounded as the connections are. */
  #account(): boolean {
    const { pendingBytes } = this.#scanner
    const partial = this.destroyed || pendingBytes <= 65_536 ? 0 : pendingBytes
    const held = partial + this.#messageBytes
    this.#shared.used += held - this.#held
    const grows = held > this.#held
    this.#held = held
    return !grows || this.#shared.used <= this.#shared.max
  }
}

function tooMuch(): PotokError {
  return new PotokError(
    'Overloaded',
    'too many bytes of messages are being taken in at this moment',
  )
}
