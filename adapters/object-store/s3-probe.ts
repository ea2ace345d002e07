/**
 * Finds out, before a store is trusted with the catalog, whether it keeps conditions: some accept the headers
 * and ignore them, some check them without a lock, and the catalog would lose commits on either, late and
 * silently. Uses a fresh folder under `<warehouse>/.catalog/probe/` and leaves nothing in it.
 *
 * Costs about 80 small requests, and as many reads as are answered beside 24 writes. It proves a store wrong, never right: a race that a store loses once in a
 * thousand passes here.
 */
import { randomUUID } from 'node:crypto'
import { PotokError } from '../../kernel/errors.ts'
import type { S3Api } from './s3-api.ts'
import type { S3Condition } from './s3-headers.ts'
import { isS3Failure, S3Failure, s3Error } from './s3-failure.ts'
import { placeOfLocation, type S3Place } from './s3-location.ts'
import { createS3Retry, type S3Retry } from './s3-retry.ts'

export type S3ProbeOptions = {
  readonly api: S3Api
  /** Named in messages. */
  readonly endpoint: string
  /** Of the warehouse, without a slash at its end. */
  readonly warehouse: string
  readonly sleep: (ms: number) => Promise<void>
  readonly random: () => number
  readonly nowMs: () => number
}

const writersMax = 32
/** A race in which answers were lost proves nothing and is run again. */
const racesMax = 4
const writesBesideReads = 24
const readersBesideWrites = 4
const readsBesideWritesMax = 60

/** Resolves where the store passes; Unsupported names the store and the case where it does not. */
export async function probeS3Store(options: S3ProbeOptions): Promise<void> {
  const { api, warehouse } = options
  const folder = `${warehouse}/.catalog/probe/${randomUUID()}`
  const probe: Probe = {
    api,
    retry: createS3Retry(options),
    made: new Set(),
    place: (name) => placeOfLocation(`${folder}/${name}`),
    refuse(what) {
      throw new PotokError(
        'Unsupported',
        `the S3 store ${options.endpoint || 'AWS'} can not hold the catalog of ${warehouse}: ${what}`,
        { context: { endpoint: options.endpoint, warehouse } },
      )
    },
  }
  try {
    await probeOneWriter(probe)
    await probeMissing(probe)
    await probeRace(probe, 'If-Match')
    await probeRace(probe, 'If-None-Match')
    await probeReads(probe)
  } catch (error) {
    throw s3Error(error, 'try conditional writes under', folder)
  } finally {
    await cleanUp(probe)
  }
}

type Probe = {
  readonly api: S3Api
  readonly retry: S3Retry
  readonly made: Set<S3Place>
  place(name: string): S3Place
  refuse(what: string): never
}

/** Present, absent, right and stale. */
async function probeOneWriter(probe: Probe): Promise<void> {
  const place = probe.place('one-writer')
  const first = await put(probe, place, 'first', { ifAbsent: true })
  if (first === 'refused') {
    probe.refuse('it refuses If-None-Match: * although nothing is there')
  }
  if ((await put(probe, place, 'second', { ifAbsent: true })) !== 'refused') {
    probe.refuse('it accepts If-None-Match: * over an object that is there')
  }
  if ((await contentOf(probe, place)) !== 'first') {
    probe.refuse('it replaced an object although it refused If-None-Match: *')
  }
  const { etag } = await headOf(probe, place)
  if (etag === '' || (first.etag !== null && first.etag !== etag)) {
    probe.refuse('its ETags differ between write and look')
  }
  const third = await put(probe, place, 'third', { ifMatch: etag })
  if (third === 'refused') probe.refuse('it refuses If-Match with the right ETag')
  if ((await put(probe, place, 'fourth', { ifMatch: etag })) !== 'refused') {
    probe.refuse('it accepts If-Match with a stale ETag')
  }
  if ((await contentOf(probe, place)) !== 'third') {
    probe.refuse('what is there after a refused If-Match is not what was there before')
  }
}

async function probeMissing(probe: Probe): Promise<void> {
  const place = probe.place('missing')
  const answer = await put(probe, place, 'ghost', { ifMatch: 'd41d8cd98f00b204e9800998ecf8427e' })
  const isThere = (await probe.retry(() => probe.api.head(place))) !== null
  if (answer !== 'refused' || isThere) {
    probe.refuse('it accepts If-Match although nothing is there')
  }
}

/** Many writers on one condition: one wins, and its bytes are there. */
async function probeRace(probe: Probe, header: 'If-Match' | 'If-None-Match'): Promise<void> {
  for (let race = 1; race <= racesMax; race++) {
    const place = probe.place(`race-${header}-${race}`)
    let condition: S3Condition = { ifAbsent: true }
    if (header === 'If-Match') {
      await put(probe, place, 'start', condition)
      condition = { ifMatch: (await headOf(probe, place)).etag }
    }
    const answers = await Promise.all(
      Array.from({ length: writersMax }, (_, i) => putOnce(probe, place, `writer ${i}`, condition)),
    )
    const winners = answers.flatMap((answer, i) => (answer === 'won' ? [`writer ${i}`] : []))
    const isClear = answers.every((answer) => answer !== 'unclear')
    if (winners.length > 1) {
      probe.refuse(`of ${writersMax} writers with the same ${header}, ${winners.length} won`)
    }
    if (winners.length === 1 && (await contentOf(probe, place)) !== winners[0]) {
      probe.refuse(
        `of ${writersMax} writers with the same ${header}, another one's bytes are there`,
      )
    }
    if (winners.length === 1) return
    if (isClear) probe.refuse(`of ${writersMax} writers with the same ${header}, none won`)
  }
  throw new S3Failure('busy', 'too many answers were lost to tell whether conditions hold')
}

/**
 * Reads beside writes: an ETag that comes with the bytes of another write would let a swap built on old bytes
 * win. (Found in a store that keeps ETags in files of their own: 7 of 100 reads.)
 */
async function probeReads(probe: Probe): Promise<void> {
  const place = probe.place('reads')
  const etags = new Map<string, string>()
  const seen: { text: string; etag: string }[] = []
  const over = new AbortController()
  const write = async (): Promise<void> => {
    let condition: S3Condition = { ifAbsent: true }
    for (let i = 0; i < writesBesideReads; i++) {
      const text = `write ${i}`
      const answer = await put(probe, place, text, condition)
      if (answer === 'refused') probe.refuse('it refuses If-Match with the right ETag')
      const etag = answer.etag ?? (await headOf(probe, place)).etag
      etags.set(text, etag)
      condition = { ifMatch: etag }
    }
  }
  const read = async (): Promise<void> => {
    for (let i = 0; i < readsBesideWritesMax && !over.signal.aborted; i++) {
      const found = await probe
        .retry(() => probe.api.get(place))
        .catch((error: unknown) => {
          if (isS3Failure(error, 'missing')) return null
          throw error
        })
      if (found === null) continue
      seen.push({ text: Buffer.from(found.bytes).toString(), etag: found.head.etag })
    }
  }
  const writing = write().finally(() => over.abort())
  await Promise.all([writing, ...Array.from({ length: readersBesideWrites }, read)])
  if (seen.some(({ text, etag }) => etags.get(text) !== etag)) {
    probe.refuse('beside writes it answers with the bytes of one write and the ETag of another')
  }
}

/** `unclear`: the answer was lost, or the store was busy. */
async function putOnce(
  probe: Probe,
  place: S3Place,
  text: string,
  condition: S3Condition,
): Promise<'won' | 'refused' | 'unclear'> {
  probe.made.add(place)
  try {
    await probe.api.put(place, Buffer.from(text), condition)
    return 'won'
  } catch (error) {
    if (isRefusal(error)) return 'refused'
    if (isS3Failure(error) && error.isPassing) return 'unclear'
    throw error
  }
}

/** Sent again where the answer was lost; a write of ours that is there then has won. */
async function put(
  probe: Probe,
  place: S3Place,
  text: string,
  condition: S3Condition,
): Promise<{ etag: string | null } | 'refused'> {
  probe.made.add(place)
  let sent = 0
  try {
    return await probe.retry(async () => {
      sent++
      return await probe.api.put(place, Buffer.from(text), condition)
    })
  } catch (error) {
    if (isS3Failure(error, 'unsupported')) probe.refuse('it knows no conditional writes')
    if (!isRefusal(error)) throw error
    const isOurs = sent > 1 && (await contentOf(probe, place)) === text
    return isOurs ? { etag: null } : 'refused'
  }
}

/** 404 is S3's answer to `If-Match` where nothing is there; Ceph and others say 412. */
function isRefusal(error: unknown): boolean {
  return isS3Failure(error, 'condition-false') || isS3Failure(error, 'missing')
}

async function contentOf(probe: Probe, place: S3Place): Promise<string | null> {
  try {
    const { bytes } = await probe.retry(() => probe.api.get(place))
    return Buffer.from(bytes).toString()
  } catch (error) {
    if (isS3Failure(error, 'missing')) return null
    throw error
  }
}

async function headOf(probe: Probe, place: S3Place): Promise<{ etag: string }> {
  const head = await probe.retry(() => probe.api.head(place))
  if (head === null) probe.refuse('an object just written is not there')
  return head
}

/** Best effort: what stays is a handful of bytes under a folder that nobody reads. */
async function cleanUp({ api, retry, made }: Probe): Promise<void> {
  const keys = [...new Set([...made].map(({ key }) => key))]
  const bucket = [...made][0]?.bucket
  if (bucket === undefined) return
  await retry(() => api.deleteMany(bucket, keys)).catch(() => undefined)
}
