/**
 * The canonical form of further fields as most cameras send them, straight into the bytes to be hashed: one
 * level, no escapes, no white space, numbers already as JavaScript writes them. Only the order of the members
 * may have to change. Everything else is left to event-id-canonical.ts, which says what canonical means; for
 * what is taken here both give the same bytes (event-id.test.ts), here without a text per key and value.
 *
 * Takes only what the decoder has checked: the text is one valid JSON object.
 */

const membersMax = 24
const digitsMax = 15
/** With more, a small number would be written with an exponent. */
const fractionDigitsMax = 6

/** Of each member: its opening quote, the closing quote of its key, the character after its value. */
const starts = new Int32Array(membersMax)
const keyEnds = new Int32Array(membersMax)
const ends = new Int32Array(membersMax)
/** Members by key. */
const order = new Int32Array(membersMax)

/**
 * Writes UTF-8 from `at` on and gives how many bytes; 0 where the fields are not so simple, and then what
 * stands in `to` from there has no meaning. There must be room for three bytes a character.
 */
export function writeFlatFields(to: Uint8Array, at: number, json: string): number {
  const count = findMembers(json)
  if (count === 0) return 0
  let p = at
  for (let i = 0; i < count; i++) {
    const member = order[i] as number
    to[p++] = i === 0 ? 0x7b : 0x2c
    const end = ends[member] as number
    for (let from = starts[member] as number; from < end; from++) {
      const c = json.charCodeAt(from)
      if (c < 0x80) {
        to[p++] = c
      } else if (c < 0x800) {
        to[p++] = 0xc0 | (c >> 6)
        to[p++] = 0x80 | (c & 0x3f)
      } else {
        return 0
      }
    }
  }
  to[p++] = 0x7d
  return p - at
}

/** Gives how many there are, none of them twice; 0 where something is not simple. */
function findMembers(json: string): number {
  let count = 0
  let p = 0
  do {
    if (count === membersMax || json.charCodeAt(++p) !== 0x22) return 0
    starts[count] = p
    p = skipText(json, p)
    if (p === 0 || json.charCodeAt(p) !== 0x3a) return 0
    keyEnds[count] = p - 1
    p = skipScalar(json, p + 1)
    if (p === 0) return 0
    ends[count] = p
    if (!insert(json, count++)) return 0
  } while (json.charCodeAt(p) === 0x2c)
  return json.charCodeAt(p) === 0x7d && p + 1 === json.length ? count : 0
}

/** Puts the member in its place among those before it; false where its key is there already. */
function insert(json: string, member: number): boolean {
  let i = member
  for (; i > 0; i--) {
    const other = order[i - 1] as number
    const difference = compareKeys(json, member, other)
    if (difference === 0) return false
    if (difference > 0) break
    order[i] = other
  }
  order[i] = member
  return true
}

/** By UTF-16 code units. */
function compareKeys(json: string, a: number, b: number): number {
  let p = (starts[a] as number) + 1
  let q = (starts[b] as number) + 1
  const pEnd = keyEnds[a] as number
  const qEnd = keyEnds[b] as number
  while (p < pEnd && q < qEnd) {
    const difference = json.charCodeAt(p++) - json.charCodeAt(q++)
    if (difference !== 0) return difference
  }
  return pEnd - p - (qEnd - q)
}

/** From the opening quote to after the closing one; 0 where an escape (or the end) comes first. */
function skipText(json: string, p: number): number {
  for (;;) {
    const c = json.charCodeAt(++p)
    if (c === 0x22) return p + 1
    if (c === 0x5c || Number.isNaN(c)) return 0
  }
}

/** To after the value; 0 where it is no scalar, or a number that is written differently in canonical form. */
function skipScalar(json: string, p: number): number {
  const c = json.charCodeAt(p)
  if (c === 0x22) return skipText(json, p)
  if (c === 0x74 || c === 0x6e) return p + 4
  if (c === 0x66) return p + 5
  return c === 0x2d || isDigit(c) ? skipNumber(json, p) : 0
}

function skipNumber(json: string, p: number): number {
  const isNegative = json.charCodeAt(p) === 0x2d
  const first = isNegative ? p + 1 : p
  p = skipDigits(json, first)
  let digits = p - first
  let c = json.charCodeAt(p)
  if (c === 0x2e) {
    const fraction = p + 1
    p = skipDigits(json, fraction)
    if (p - fraction > fractionDigitsMax || json.charCodeAt(p - 1) === 0x30) return 0
    digits += p - fraction
    c = json.charCodeAt(p)
  } else if (isNegative && json.charCodeAt(first) === 0x30) {
    return 0
  }
  return digits <= digitsMax && (c === 0x2c || c === 0x7d) ? p : 0
}

function skipDigits(json: string, p: number): number {
  while (isDigit(json.charCodeAt(p))) p++
  return p
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39
}
