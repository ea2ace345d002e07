/**
 * JSON in which 64-bit integers survive. Integers that a double can't hold come in as bigint; bigints go out
 * as plain digits. Everything else is as `JSON` has it.
 */

/** In ES2025 and Node 24; TypeScript's library for es2024 doesn't know them yet. */
const json = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown
  rawJSON(text: string): object
}

/** No number is beyond 2^53 with fewer digits than this. */
const longDigitsMin = 16
const longDigits = /\d{16}/
const integerText = /^-?\d+$/
/** Stands before digits that were made a string (private use); text in which it occurs takes the slow way. */
const mark = '\ue000'
const markInText = /\ue000|\\ue000/i

/**
 * `JSON.parse` with a reviver does it all, but takes ten times as long as without. So the long integers are made
 * strings first, found by one pass over the text that skips what is in quotes, and bigints after.
 */
export function parseJson(text: string): unknown {
  if (!longDigits.test(text)) return JSON.parse(text)
  if (markInText.test(text)) return parseWithReviver(text)
  const marked = markLongIntegers(text)
  const value: unknown = JSON.parse(marked)
  return marked === text ? value : unmark(value)
}

export function parseWithReviver(text: string): unknown {
  return json.parse(text, (_key, value, context) =>
    typeof value === 'number' &&
    !Number.isSafeInteger(value) &&
    context.source !== undefined &&
    integerText.test(context.source)
      ? BigInt(context.source)
      : value,
  )
}

function markLongIntegers(text: string): string {
  let result = ''
  let copied = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) {
      i = endOfString(text, i)
    } else if (code >= 0x30 && code <= 0x39) {
      const start = i
      while (isDigit(text.charCodeAt(i))) i++
      const isInteger = !/[.eE]/.test(text.charAt(i)) && !/[.eE+]/.test(text.charAt(start - 1))
      if (i - start >= longDigitsMin && isInteger) {
        const isNegative = text.charAt(start - 1) === '-'
        // An exponent, which JSON.parse reads as it is.
        if (isNegative && /[eE]/.test(text.charAt(start - 2))) continue
        const from = isNegative ? start - 1 : start
        result += `${text.slice(copied, from)}"${mark}${text.slice(from, i)}"`
        copied = i
      }
      i--
    }
  }
  return result + text.slice(copied)
}

/** Index of the quote that closes the string which opens at `start`, the text's end where none does. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    at = text.indexOf('"', at)
    if (at === -1) return text.length
    let backslashes = 0
    while (text.charCodeAt(at - 1 - backslashes) === 0x5c) backslashes++
    if (backslashes % 2 === 0) return at
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

/** In place: the value was just parsed and is nobody else's. */
function unmark(value: unknown): unknown {
  if (typeof value === 'string') {
    if (!value.startsWith(mark)) return value
    const integer = BigInt(value.slice(mark.length))
    const number = Number(integer)
    return Number.isSafeInteger(number) ? number : integer
  }
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = unmark(value[i])
  } else if (typeof value === 'object' && value !== null) {
    const object = value as Record<string, unknown>
    for (const key in object) {
      const inner = object[key]
      if (typeof inner === 'object' || (typeof inner === 'string' && inner.startsWith(mark))) {
        object[key] = unmark(inner)
      }
    }
  }
  return value
}

/** A value that `JSON.stringify` writes as these digits. */
export function wireInteger(value: bigint): object | number {
  return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER
    ? Number(value)
    : json.rawJSON(value.toString())
}

/** Several times slower where a bigint is left that no codec has made a `wireInteger` of. */
export function stringifyJson(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return JSON.stringify(value, (_key, inner: unknown) =>
      typeof inner === 'bigint' ? wireInteger(inner) : inner,
    )
  }
}
