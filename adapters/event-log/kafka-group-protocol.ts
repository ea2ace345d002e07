/**
 * What members of a group tell each other, and who gets which partitions.
 *
 * The bytes are those of Java's consumers (`ConsumerProtocolSubscription` version 2, `ConsumerProtocolAssignment`
 * version 0), so that Kafka's tools show who has what; the way of sharing has a name of its own, so that no program
 * that shares otherwise gets into the same group.
 */

/** Name of the way of sharing. Another way needs another name. */
export const assignorName = 'potok-sticky'

export type Subscription = {
  readonly owned: readonly number[]
  /** Of the group when the member got `owned`; -1: never. */
  readonly generation: number
}

export function encodeSubscription(topic: string, { owned, generation }: Subscription): Buffer {
  const writer = new Bytes()
  writer.int16(2)
  writer.int32(1)
  writer.string(topic)
  writer.int32(-1)
  writePartitions(writer, topic, owned)
  writer.int32(generation)
  return writer.take()
}

/** null where it isn't one of ours. */
export function decodeSubscription(topic: string, bytes: Buffer): Subscription | null {
  try {
    const reader = new Cursor(bytes)
    if (reader.int16() !== 2) return null
    for (let topics = reader.int32(); topics > 0; topics--) reader.string()
    reader.skip(Math.max(0, reader.int32()))
    const owned = readPartitions(reader, topic)
    return { owned, generation: reader.int32() }
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

export function encodeAssignment(topic: string, partitions: readonly number[]): Buffer {
  const writer = new Bytes()
  writer.int16(0)
  writePartitions(writer, topic, partitions)
  writer.int32(-1)
  return writer.take()
}

/** Throws RangeError where it isn't one. */
export function decodeAssignment(topic: string, bytes: Buffer): number[] {
  if (bytes.length === 0) return []
  const reader = new Cursor(bytes)
  reader.int16()
  return readPartitions(reader, topic)
}

/**
 * Everybody gets as many as the others, or one more, and keeps what he has as far as that goes: a partition that
 * changes hands costs its old and its new owner a read of the table. Same members, same result.
 */
export function sharePartitions(
  members: ReadonlyMap<string, Subscription>,
  partitionCount: number,
): Map<string, number[]> {
  const names = [...members.keys()].sort()
  const shares = new Map<string, number[]>(names.map((name) => [name, []]))
  if (names.length === 0) return shares
  const least = Math.floor(partitionCount / names.length)
  let extra = partitionCount % names.length
  const free = new Set(Array.from({ length: partitionCount }, (_, i) => i))
  // Who got his later knows better whose a partition is: the other one missed a change.
  const byAge = names.toSorted((a, b) => generationOf(members, b) - generationOf(members, a))
  for (const name of byAge) {
    const share = shares.get(name) as number[]
    for (const logPartition of members.get(name)?.owned ?? []) {
      if (!free.has(logPartition)) continue
      if (share.length >= least) {
        if (share.length > least || extra === 0) break
        extra--
      }
      free.delete(logPartition)
      share.push(logPartition)
    }
  }
  for (const logPartition of free) {
    const name = names.reduce((a, b) => (sizeOf(shares, b) < sizeOf(shares, a) ? b : a))
    shares.get(name)?.push(logPartition)
  }
  for (const share of shares.values()) share.sort((a, b) => a - b)
  return shares
}

function generationOf(members: ReadonlyMap<string, Subscription>, name: string): number {
  return members.get(name)?.generation ?? -1
}

function sizeOf(shares: ReadonlyMap<string, number[]>, name: string): number {
  return shares.get(name)?.length ?? 0
}

function writePartitions(writer: Bytes, topic: string, partitions: readonly number[]): void {
  writer.int32(1)
  writer.string(topic)
  writer.int32(partitions.length)
  for (const logPartition of partitions) writer.int32(logPartition)
}

/** Those of `topic`. */
function readPartitions(reader: Cursor, topic: string): number[] {
  const found: number[] = []
  for (let topics = reader.int32(); topics > 0; topics--) {
    const isOurs = reader.string() === topic
    for (let left = reader.int32(); left > 0; left--) {
      const logPartition = reader.int32()
      if (isOurs) found.push(logPartition)
    }
  }
  return found
}

class Bytes {
  readonly #parts: Buffer[] = []

  int16(value: number): void {
    const part = Buffer.alloc(2)
    part.writeInt16BE(value)
    this.#parts.push(part)
  }

  int32(value: number): void {
    const part = Buffer.alloc(4)
    part.writeInt32BE(value)
    this.#parts.push(part)
  }

  string(text: string): void {
    const part = Buffer.from(text)
    this.int16(part.length)
    this.#parts.push(part)
  }

  take(): Buffer {
    return Buffer.concat(this.#parts)
  }
}

class Cursor {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  int16(): number {
    this.#at += 2
    return this.#bytes.readInt16BE(this.#at - 2)
  }

  int32(): number {
    this.#at += 4
    return this.#bytes.readInt32BE(this.#at - 4)
  }

  string(): string {
    const length = this.int16()
    this.skip(Math.max(0, length))
    return this.#bytes.toString('utf8', this.#at - length, this.#at)
  }

  skip(length: number): void {
    this.#at += length
  }
}
