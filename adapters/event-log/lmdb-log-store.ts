/**
 * What lies in the LMDB file of the embedded log, and the few reads and writes that make sense on it.
 *
 *   blocks  (partition u16, base offset u64; big endian) → encoded RecordBlock
 *   meta    "log" → JSON: format, identity, partition count · "state" → per partition start, end, bytes
 *   groups  name → next offset per partition that the group's sink has committed
 *
 * Functions named `…InTxn` must run inside a write transaction; the others take the newest snapshot.
 */
import { existsSync, mkdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import type { IdSource, LogIdentity, LogRange } from '../../kernel/ports.ts'
import { peekBlock } from '../../kernel/record-block-codec.ts'

/** Start, end, bytes: three numbers a partition. */
export type LogState = Float64Array
const fields = 3

export type LogStore = {
  readonly directory: string
  readonly root: RootDatabase<Buffer, string>
  readonly blocks: Database<Buffer, Uint8Array>
  readonly meta: Database<Buffer, string>
  readonly groups: Database<Buffer, string>
  readonly identity: LogIdentity
  readonly partitionCount: number
  readonly readOnly: boolean
}

export type OpenLogStoreOptions = {
  readonly directory: string
  /** Undefined: what the log was made with. */
  readonly partitionCount: number | undefined
  readonly topic: string
  readonly sizeBytesMax: number
  readonly readOnly: boolean
  readonly ids: IdSource
}

const formatVersion = 1
const partitionCountDefault = 8
export const partitionCountMax = 1024

type LogMeta = LogIdentity & { readonly format: number; readonly partitionCount: number }

export function openLogStore(options: OpenLogStoreOptions): LogStore {
  const { directory, readOnly } = options
  if (readOnly && !existsSync(join(directory, 'data.mdb'))) {
    throw new PotokError('NotFound', `no event log in ${directory}`, { context: { directory } })
  }
  const wanted = options.partitionCount
  if (
    wanted !== undefined &&
    !(Number.isInteger(wanted) && wanted >= 1 && wanted <= partitionCountMax)
  ) {
    throw new PotokError(
      'InvalidInput',
      `partition count ${wanted} is not within 1 to ${partitionCountMax}`,
    )
  }
  if (!readOnly) mkdirSync(directory, { recursive: true })
  const root = openEnvironment(directory, readOnly, options.sizeBytesMax)
  try {
    const meta = root.openDB<Buffer, string>('meta', { encoding: 'binary' })
    const blocks = root.openDB<Buffer, Uint8Array>('blocks', {
      encoding: 'binary',
      keyEncoding: 'binary',
    })
    const groups = root.openDB<Buffer, string>('groups', { encoding: 'binary' })
    const found = readOnly ? readMeta(meta, directory) : createMeta(meta, options)
    if (wanted !== undefined && wanted !== found.partitionCount) {
      throw new PotokError(
        'InvalidInput',
        `the event log in ${directory} has ${found.partitionCount} partitions, not ${wanted}: ` +
          'a camera would change its partition and lose its order. Keep the number, or start a new log',
        { context: { directory, partitionCount: found.partitionCount, wanted } },
      )
    }
    const identity = { clusterId: found.clusterId, topic: found.topic, topicId: found.topicId }
    return {
      directory,
      root,
      blocks,
      meta,
      groups,
      identity,
      partitionCount: found.partitionCount,
      readOnly,
    }
  } catch (error) {
    void root.close()
    throw error
  }
}

function openEnvironment(
  directory: string,
  readOnly: boolean,
  sizeBytesMax: number,
): RootDatabase<Buffer, string> {
  try {
    return open<Buffer, string>(directory, {
      encoding: 'binary',
      noSubdir: false,
      overlappingSync: false,
      // With it, a commit that fails rejects a promise inside lmdb-js that nobody can handle.
      eventTurnBatching: false,
      readOnly,
      maxDbs: 4,
      // Address space, not disk: room for blocks, tree pages and pages still pinned by a reader.
      mapSize: Math.ceil((2 * sizeBytesMax + 2 ** 30) / 65_536) * 65_536,
    })
  } catch (error) {
    throw new PotokError(
      'Unavailable',
      `can't open the event log in ${directory}: ${describeError(error)}`,
      { context: { directory }, cause: error },
    )
  }
}

function createMeta(meta: Database<Buffer, string>, options: OpenLogStoreOptions): LogMeta {
  // In a transaction: of two processes that open a new log at once, one makes its identity.
  return meta.transactionSync(() => {
    if (meta.getBinary('log') !== undefined) return readMeta(meta, options.directory)
    const partitionCount = options.partitionCount ?? partitionCountDefault
    const made: LogMeta = {
      format: formatVersion,
      clusterId: options.ids.uuid(),
      topic: options.topic,
      topicId: options.ids.uuid(),
      partitionCount,
    }
    meta.putSync('log', Buffer.from(JSON.stringify(made)))
    meta.putSync('state', bytesOf(new Float64Array(partitionCount * fields)))
    return made
  })
}

function readMeta(meta: Database<Buffer, string>, directory: string): LogMeta {
  const bytes = meta.getBinary('log')
  if (bytes === undefined) throw new PotokError('NotFound', `no event log in ${directory}`)
  const found = JSON.parse(bytes.toString()) as LogMeta
  if (found.format !== formatVersion) {
    throw new PotokError(
      'Unsupported',
      `the event log in ${directory} has format ${found.format}; this potok reads ${formatVersion}`,
    )
  }
  return found
}

/**
 * Runs the callback in a write transaction; durable when resolved, undone as a whole when it throws. It is a
 * child transaction, because lmdb-js commits what an ordinary one wrote before its callback threw.
 * Unavailable: the commit failed, LMDB gave up the transaction.
 */
export async function writeTxn<T>(store: LogStore, callback: () => T): Promise<T> {
  try {
    return await store.root.childTransaction(callback)
  } catch (error) {
    if (isPotokError(error)) throw error
    throw await commitError(error, store.directory)
  }
}

/** lmdb-js keeps the reason behind a second promise: awaited here, or else it would be an unhandled one. */
async function commitError(failed: unknown, directory: string): Promise<PotokError> {
  const reason = (failed as { commitError?: Promise<never> } | null)?.commitError
  let cause = failed
  if (reason !== undefined) {
    const found = reason.catch((why: unknown) => why)
    const late = new Promise<undefined>((resolve) => {
      setTimeout(() => resolve(undefined), 1_000)
    })
    cause = (await Promise.race([found, late])) ?? failed
  }
  return new PotokError('Unavailable', `${directory} could not be written${spaceLeft(directory)}`, {
    context: { directory },
    cause,
  })
}

/** LMDB calls a full disk an input/output error. */
function spaceLeft(directory: string): string {
  const { bavail, bsize } = statfsSync(directory)
  const mib = Math.floor((bavail * bsize) / 2 ** 20)
  return mib < 64 ? `, the disk is full (${mib} MiB left)` : ''
}

/** The newest state; outside of a write transaction the snapshot is renewed first. */
export function readState(store: LogStore): LogState {
  store.root.resetReadTxn()
  return readStateInTxn(store)
}

export function readStateInTxn(store: LogStore): LogState {
  const bytes = store.meta.getBinary('state')
  const lengthBytes = store.partitionCount * fields * 8
  if (bytes === undefined || bytes.length !== lengthBytes) {
    throw new PotokError('DataCorrupt', 'the event log has lost its state')
  }
  return numbersOf(bytes)
}

export function writeStateInTxn(store: LogStore, state: LogState): void {
  store.meta.putSync('state', bytesOf(state))
}

export function rangeOf(state: LogState, logPartition: number): LogRange {
  return {
    logPartition,
    startOffset: state[logPartition * fields] as number,
    endOffset: state[logPartition * fields + 1] as number,
  }
}

export function partitionSizeBytes(state: LogState, logPartition: number): number {
  return state[logPartition * fields + 2] as number
}

export function totalSizeBytes(state: LogState): number {
  let sum = 0
  for (let at = 2; at < state.length; at += fields) sum += state[at] as number
  return sum
}

/** Writes an encoded block at the partition's end and moves the end. */
export function putBlockInTxn(
  store: LogStore,
  state: LogState,
  logPartition: number,
  bytes: Uint8Array,
  count: number,
): void {
  const at = logPartition * fields
  const endOffset = state[at + 1] as number
  store.blocks.putSync(blockKey(logPartition, endOffset), asBuffer(bytes))
  state[at + 1] = endOffset + count
  state[at + 2] = (state[at + 2] as number) + bytes.length
}

export type OldestBlock = {
  readonly nextOffset: number
  readonly receivedAtUsMax: number
  readonly sizeBytes: number
}

export function oldestBlockInTxn(
  store: LogStore,
  state: LogState,
  logPartition: number,
): OldestBlock | null {
  const { startOffset, endOffset } = rangeOf(state, logPartition)
  if (startOffset === endOffset) return null
  const bytes = getBlock(store, logPartition, startOffset)
  if (bytes === undefined) {
    throw new PotokError('DataCorrupt', 'the oldest block of a partition is missing', {
      context: { logPartition, startOffset },
    })
  }
  return { ...peekBlock(bytes), sizeBytes: bytes.length }
}

export function removeOldestInTxn(
  store: LogStore,
  state: LogState,
  logPartition: number,
  block: OldestBlock,
): void {
  const at = logPartition * fields
  store.blocks.removeSync(blockKey(logPartition, state[at] as number))
  state[at] = block.nextOffset
  state[at + 2] = (state[at + 2] as number) - block.sizeBytes
}

export function getBlock(
  store: LogStore,
  logPartition: number,
  baseOffset: number,
): Buffer | undefined {
  return store.blocks.getBinary(blockKey(logPartition, baseOffset))
}

/** The block that holds the offset, for a reader that begins in the middle of one. */
export function getBlockAround(
  store: LogStore,
  logPartition: number,
  offset: number,
): Buffer | undefined {
  const start = blockKey(logPartition, offset)
  for (const { key, value } of store.blocks.getRange({ start, reverse: true, limit: 1 })) {
    const found = Buffer.from(key)
    return found.readUInt16BE(0) === logPartition ? value : undefined
  }
  return undefined
}

export function readGroups(store: LogStore): Map<string, Float64Array> {
  const groups = new Map<string, Float64Array>()
  for (const { key, value } of store.groups.getRange()) groups.set(key, numbersOf(value))
  return groups
}

export function readGroupInTxn(store: LogStore, group: string): Float64Array | undefined {
  const bytes = store.groups.getBinary(group)
  return bytes === undefined ? undefined : numbersOf(bytes)
}

export function writeGroupInTxn(store: LogStore, group: string, positions: Float64Array): void {
  store.groups.putSync(group, bytesOf(positions))
}

function blockKey(logPartition: number, offset: number): Buffer {
  const key = Buffer.allocUnsafe(10)
  key.writeUInt16BE(logPartition, 0)
  key.writeUInt32BE(Math.floor(offset / 2 ** 32), 2)
  key.writeUInt32BE(offset % 2 ** 32, 6)
  return key
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function bytesOf(numbers: Float64Array): Buffer {
  return Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength)
}

function numbersOf(bytes: Buffer): Float64Array {
  return new Float64Array(new Uint8Array(bytes).buffer)
}
