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
const longDigits = /\d{16}/
const integerText = /^-?\d+$/

export function parseJson(text: string): unknown {
  if (!longDigits.test(text)) return JSON.parse(text)
  return json.parse(text, (_key, value, context) =>
    typeof value === 'number' &&
    !Number.isSafeInteger(value) &&
    context.source !== undefined &&
    integerText.test(context.source)
      ? BigInt(context.source)
      : value,
  )
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
