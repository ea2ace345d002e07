/**
 * A small S3 store in memory over local HTTP, for tests of what stores and networks do wrong: it keeps
 * conditions, unless told which to break, and each request may be made to fail as a script says.
 * Signatures are not checked. One bucket, path style.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import type { S3Options } from '../adapters/object-store/s3-client.ts'

export type S3Operation =
  | 'put'
  | 'get'
  | 'head'
  | 'list'
  | 'delete'
  | 'start-upload'
  | 'part'
  | 'complete-upload'
  | 'abort-upload'

export type S3Fault =
  /** Answers so; the work is done before where `isDone`. */
  | { readonly status: number; readonly code?: string; readonly isDone?: boolean }
  /** The connection ends: nothing done, done, after half of the answer's body, or done later by `deliver`. */
  | 'cut-before'
  | 'cut-after'
  | 'half'
  | 'delayed'
  /** Never answers. */
  | 'silent'

/** What broken stores do. */
export type S3Habits = {
  ignoresIfMatch?: boolean
  ignoresIfNoneMatch?: boolean
  /** `If-Match` on a missing key makes the object. */
  makesMissing?: boolean
  /** `If-Match` on a missing key is 412, not 404 (Ceph, Ozone). */
  missingIs412?: boolean
  /** Looks at the condition and writes later, with others in between. */
  isRacy?: boolean
  /** Of a key written often: now and then the bytes before the last write with the ETag after it. */
  tearsReads?: boolean
  /** Refuses a write of which the condition holds. */
  refusesTrue?: boolean
  etagStyle?: 'weak' | 'bare'
  listPageSize?: number
}

type Stored = { bytes: Buffer; metadata: Record<string, string>; modified: Date }
type Call = { operation: S3Operation; key: string }

export type ScriptedS3 = {
  readonly options: S3Options
  readonly bucket: string
  readonly objects: Map<string, Stored>
  readonly uploads: Map<
    string,
    { key: string; metadata: Record<string, string>; parts: Map<number, Buffer> }
  >
  /** Every content that was ever stored, in order. */
  readonly stored: readonly { key: string; bytes: Buffer }[]
  /** Every request that came, in order. */
  readonly calls: readonly Call[]
  habits: S3Habits
  /** Asked at each request; null: as it should be. */
  fault: (call: Call) => S3Fault | null
  /** Writes under way for long land now, where their condition still holds. Gives how many did. */
  deliver(): number
  close(): Promise<void>
}

type Answer = { status: number; headers?: Record<string, string>; body?: Buffer | string }

const bucket = 'lake'

export async function startScriptedS3(
  habits: S3Habits = {},
  tls?: { key: string; cert: string },
): Promise<ScriptedS3> {
  const objects = new Map<string, Stored>()
  const uploads: ScriptedS3['uploads'] = new Map()
  const calls: Call[] = []
  const stored: { key: string; bytes: Buffer }[] = []
  const delayed: (() => Answer)[] = []

  function etagOf(bytes: Buffer): string {
    const hash = createHash('md5').update(bytes).digest('hex')
    return s3.habits.etagStyle === 'bare'
      ? hash
      : s3.habits.etagStyle === 'weak'
        ? `W/"${hash}"`
        : `"${hash}"`
  }

  /** null where the condition holds. */
  function conditionFails(request: IncomingMessage, key: string): Answer | null {
    const found = objects.get(key)
    const ifMatch = request.headers['if-match']
    const { habits } = s3
    if (request.headers['if-none-match'] !== undefined && !habits.ignoresIfNoneMatch) {
      if (found !== undefined) return failed(412, 'PreconditionFailed')
    }
    if (ifMatch !== undefined && !habits.ignoresIfMatch) {
      if (found === undefined && habits.makesMissing !== true) {
        return habits.missingIs412 ? failed(412, 'PreconditionFailed') : failed(404, 'NoSuchKey')
      }
      if (found !== undefined && bare(etagOf(found.bytes)) !== bare(ifMatch)) {
        return failed(412, 'PreconditionFailed')
      }
    }
    return habits.refusesTrue ? failed(412, 'PreconditionFailed') : null
  }

  function store(key: string, bytes: Buffer, metadata: Record<string, string>): Answer {
    objects.set(key, { bytes, metadata, modified: new Date() })
    stored.push({ key, bytes })
    return { status: 200, headers: { etag: etagOf(bytes) } }
  }

  function get(request: IncomingMessage, key: string): Answer {
    const found = objects.get(key)
    if (found === undefined) return failed(404, 'NoSuchKey')
    const headers: Record<string, string> = {
      etag: etagOf(found.bytes),
      'last-modified': found.modified.toUTCString(),
    }
    for (const [name, value] of Object.entries(found.metadata)) headers[name] = value
    const before = stored.filter((one) => one.key === key)
    if (s3.habits.tearsReads === true && before.length > 5 && calls.length % 5 === 0) {
      return { status: 200, headers, body: before.at(-2)?.bytes ?? '' }
    }
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
    if (range === null) return { status: 200, headers, body: found.bytes }
    const [from, to] = [Number(range[1]), Number(range[2])]
    if (from >= found.bytes.length) return failed(416, 'InvalidRange')
    const body = found.bytes.subarray(from, to + 1)
    headers['content-range'] = `bytes ${from}-${from + body.length - 1}/${found.bytes.length}`
    return { status: 206, headers, body }
  }

  function list(query: URLSearchParams): Answer {
    const prefix = query.get('prefix') ?? ''
    const after = query.get('continuation-token') ?? ''
    const size = s3.habits.listPageSize ?? 1_000
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort()
    const page = keys.slice(0, size)
    const contents = page.map((key) => {
      const { bytes, modified } = objects.get(key) as Stored
      return `<Contents><Key>${key}</Key><Size>${bytes.length}</Size><LastModified>${modified.toISOString()}</LastModified></Contents>`
    })
    const more =
      keys.length > size
        ? `<IsTruncated>true</IsTruncated><NextContinuationToken>${page.at(-1)}</NextContinuationToken>`
        : '<IsTruncated>false</IsTruncated>'
    return xml('ListBucketResult', more + contents.join(''))
  }

  function work(
    call: Call,
    request: IncomingMessage,
    query: URLSearchParams,
    body: Buffer,
  ): Answer {
    const { key } = call
    const upload = uploads.get(query.get('uploadId') ?? '')
    switch (call.operation) {
      case 'put':
        return conditionFails(request, key) ?? store(key, body, metadataOf(request))
      case 'get':
      case 'head':
        return get(request, key)
      case 'list':
        return list(query)
      case 'delete':
        for (const match of body.toString().matchAll(/<Key>(.*?)<\/Key>/g)) {
          objects.delete(match[1] as string)
        }
        return xml('DeleteResult', '')
      case 'start-upload': {
        const id = randomUUID()
        uploads.set(id, { key, metadata: metadataOf(request), parts: new Map() })
        return xml('InitiateMultipartUploadResult', `<UploadId>${id}</UploadId>`)
      }
      case 'part':
        if (upload === undefined) return failed(404, 'NoSuchUpload')
        upload.parts.set(Number(query.get('partNumber')), body)
        return { status: 200, headers: { etag: etagOf(body) } }
      case 'complete-upload': {
        if (upload === undefined) return failed(404, 'NoSuchUpload')
        const refused = conditionFails(request, key)
        if (refused !== null) return refused
        const parts = [...upload.parts].sort(([a], [b]) => a - b).map(([, part]) => part)
        store(key, Buffer.concat(parts), upload.metadata)
        uploads.delete(query.get('uploadId') as string)
        return xml('CompleteMultipartUploadResult', '<ETag>"made-of-parts"</ETag>')
      }
      case 'abort-upload':
        return uploads.delete(query.get('uploadId') ?? '')
          ? { status: 204 }
          : failed(404, 'NoSuchUpload')
    }
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://s3')
    const key = decodeURIComponent(url.pathname).slice(`/${bucket}/`.length)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const call = { operation: operationOf(request, url.searchParams, key), key }
    calls.push(call)
    const run = (): Answer => work(call, request, url.searchParams, body)
    const fault = s3.fault(call)
    if (fault === 'silent') return
    if (fault === 'delayed') delayed.push(run)
    if (fault === 'cut-before' || fault === 'delayed') {
      request.socket.destroy()
      return
    }
    if (typeof fault === 'object' && fault !== null) {
      if (fault.isDone === true) run()
      respond(response, request, failed(fault.status, fault.code ?? 'InternalError'))
      return
    }
    if (s3.habits.isRacy === true && call.operation === 'put') {
      const refused = conditionFails(request, key)
      for (let i = 0; i < 20; i++) await turn()
      respond(response, request, refused ?? store(key, body, metadataOf(request)))
      return
    }
    const answer = run()
    if (fault === 'cut-after') request.socket.destroy()
    else respond(response, request, answer, fault === 'half')
  }

  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    serve(request, response).catch(() => request.socket.destroy())
  }
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const s3: ScriptedS3 = {
    options: {
      endpoint: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
      region: '',
      pathStyle: null,
      accessKeyId: 'key',
      secretAccessKey: 'secret',
      caFile: '',
      requestTimeoutMs: 5_000,
    },
    bucket,
    objects,
    uploads,
    stored,
    calls,
    habits,
    fault: () => null,
    deliver: () => delayed.splice(0).filter((run) => run().status === 200).length,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return s3
}

function operationOf(
  { method }: IncomingMessage,
  query: URLSearchParams,
  key: string,
): S3Operation {
  if (method === 'PUT') return query.has('partNumber') ? 'part' : 'put'
  if (method === 'HEAD') return 'head'
  if (method === 'GET') return key === '' ? 'list' : 'get'
  if (method === 'DELETE') return 'abort-upload'
  return query.has('delete') ? 'delete' : query.has('uploads') ? 'start-upload' : 'complete-upload'
}

function respond(
  response: ServerResponse,
  request: IncomingMessage,
  { status, headers, body }: Answer,
  isHalf = false,
): void {
  const bytes = Buffer.from(body ?? '')
  response.writeHead(status, { ...headers, 'content-length': bytes.length })
  if (request.method === 'HEAD') response.end()
  else if (!isHalf) response.end(bytes)
  else response.write(bytes.subarray(0, bytes.length >> 1), () => request.socket.destroy())
}

function failed(status: number, code: string): Answer {
  return { ...xml('Error', `<Code>${code}</Code><Message>as the script says</Message>`), status }
}

function xml(name: string, inside: string): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: `<?xml version="1.0" encoding="UTF-8"?>\n<${name}>${inside}</${name}>`,
  }
}

function metadataOf(request: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => name.startsWith('x-amz-meta-')),
  ) as Record<string, string>
}

function bare(etag: string): string {
  return etag.replace(/^W\//, '').replaceAll('"', '')
}
