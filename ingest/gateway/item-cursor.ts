/**
 * Finds the items of a body without parsing them: the lines of NDJSON, the elements of a JSON array, or the
 * one value of another JSON document.
 *
 * Invariant: where the JSON cursor runs to its end without an error and every item it found is valid JSON,
 * the whole document is valid JSON, and the items are its elements. So a caller that decodes each item needs
 * no second parse of the whole.
 */
import { PotokError } from '../../kernel/errors.ts'

export interface ItemCursor {
  /** Moves to the next item; false at the end. InvalidInput where the document has no end or no shape. */
  next(): boolean
  readonly start: number
  readonly end: number
}

export type BodyFormat = 'json' | 'ndjson'

const formatOfType: ReadonlyMap<string, BodyFormat> = new Map([
  ['application/json', 'json'],
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/jsonl', 'ndjson'],
  ['application/x-jsonlines', 'ndjson'],
  ['application/json-lines', 'ndjson'],
])

/** `type` without its parameters. */
export function formatOfContentType(type: string): BodyFormat | undefined {
  return formatOfType.get(type.trim().toLowerCase())
}

export function createItemCursor(body: Buffer, format: BodyFormat): ItemCursor {
  const from = skipByteOrderMark(body)
  if ((body[0] === 0xff && body[1] === 0xfe) || (body[0] === 0xfe && body[1] === 0xff)) {
    throw new PotokError('InvalidInput', 'the body is UTF-16: send UTF-8')
  }
  return format === 'ndjson' ? createLineCursor(body, from) : createJsonCursor(body, from)
}

/** Of a body without a content type: one JSON document, or else lines. */
export function sniffFormat(body: Buffer): BodyFormat {
  const start = skipSpace(body, skipByteOrderMark(body), body.length)
  if (body[start] !== 0x7b) return 'json'
  const end = endOfValue(body, start)
  return skipSpace(body, end, body.length) === body.length ? 'json' : 'ndjson'
}

function createLineCursor(body: Buffer, from: number): ItemCursor {
  let at = from
  const cursor = {
    start: 0,
    end: 0,
    next() {
      while (at < body.length) {
        let lineEnd = body.indexOf(0x0a, at)
        if (lineEnd < 0) lineEnd = body.length
        cursor.start = skipSpace(body, at, lineEnd)
        cursor.end = trimEnd(body, cursor.start, lineEnd)
        at = lineEnd + 1
        if (cursor.end > cursor.start) return true
      }
      return false
    },
  }
  return cursor
}

function createJsonCursor(body: Buffer, from: number): ItemCursor {
  let at = skipSpace(body, from, body.length)
  let isDone = at === body.length
  let isFirst = true
  const isArray = body[at] === 0x5b
  if (isArray) at++
  const cursor = {
    start: 0,
    end: 0,
    next() {
      if (isDone) return false
      if (!isArray) {
        isDone = true
        cursor.start = at
        cursor.end = trimEnd(body, at, body.length)
        return true
      }
      at = skipSpace(body, at, body.length)
      if (body[at] === 0x5d && isFirst) return finish(at + 1)
      if (!isFirst) {
        if (body[at] === 0x5d) return finish(at + 1)
        if (body[at] !== 0x2c) throw broken(at, body.length)
        at = skipSpace(body, at + 1, body.length)
      }
      isFirst = false
      cursor.start = at
      at = endOfValue(body, at)
      cursor.end = at
      if (cursor.end === cursor.start) throw broken(at, body.length)
      return true
    },
  }
  function finish(end: number): boolean {
    isDone = true
    if (skipSpace(body, end, body.length) !== body.length) throw broken(end, body.length)
    return false
  }
  return cursor
}

function broken(at: number, length: number): PotokError {
  const why = at >= length ? 'it ends too early' : `no array of events at byte ${at}`
  return new PotokError('InvalidInput', `the body is not a valid JSON document: ${why}`)
}

/** End of the value that starts at `at`, found by brackets and quotes alone, without white space after it. */
function endOfValue(body: Buffer, at: number): number {
  const start = at
  let depth = 0
  while (at < body.length) {
    const c = body[at] as number
    if (c === 0x22) {
      at = endOfString(body, at + 1)
      if (depth === 0) return at
      continue
    }
    if (c === 0x7b || c === 0x5b) depth++
    else if (c === 0x7d || c === 0x5d) {
      if (depth === 0) return trimEnd(body, start, at)
      depth--
      if (depth === 0) return at + 1
    } else if (c === 0x2c && depth === 0) return trimEnd(body, start, at)
    at++
  }
  return depth === 0 ? trimEnd(body, start, at) : body.length
}

function endOfString(body: Buffer, at: number): number {
  for (; at < body.length; at++) {
    const c = body[at]
    if (c === 0x22) return at + 1
    if (c === 0x5c) at++
  }
  return body.length
}

function skipByteOrderMark(body: Buffer): number {
  return body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0
}

/** JSON's white space (RFC 8259 §2). */
export function isJsonSpace(c: number): boolean {
  return c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09
}

function skipSpace(body: Buffer, at: number, end: number): number {
  while (at < end && isJsonSpace(body[at] as number)) at++
  return at
}

function trimEnd(body: Buffer, start: number, end: number): number {
  while (end > start && isJsonSpace(body[end - 1] as number)) end--
  return end
}
