/**
 * The canonical form of further fields, for the event id: no white space, keys sorted by UTF-16 code units
 * at every level (where one comes twice the last counts), strings as JSON.stringify writes them, numbers
 * likewise, as in RFC 8785; but a number of more than 15 digits stays as written, since a double would make
 * two of them one.
 *
 * Takes only what the decoder has checked: valid JSON, nested at most `nestingDepthMax` deep.
 */

let text = ''
let at = 0

/** `json` is an object; null where no member is left. `excluded` names members of the outermost object. */
export function canonicalFields(json: string, excluded: ReadonlySet<string>): string | null {
  text = json
  at = 0
  const canonical = object(excluded)
  return canonical === '{}' ? null : canonical
}

const nothing: ReadonlySet<string> = new Set()

function value(): string {
  const c = skipSpace()
  if (c === 0x22) return string()
  if (c === 0x7b) return object(nothing)
  if (c === 0x5b) return array()
  const start = at
  while (at < text.length && !isEndOfWord(text.charCodeAt(at))) at++
  const word = text.slice(start, at)
  return c > 0x39 ? word : number(word)
}

function object(excluded: ReadonlySet<string>): string {
  const keys: string[] = []
  const values: string[] = []
  let isSorted = true
  at++
  while (skipSpace() !== 0x7d) {
    if (text.charCodeAt(at) === 0x2c) {
      at++
      skipSpace()
    }
    const key = string()
    skipSpace()
    at++
    const member = value()
    if (excluded.size > 0 && excluded.has(JSON.parse(key) as string)) continue
    const last = keys.length - 1
    if (last >= 0 && !isBefore(keys[last] as string, key)) isSorted = false
    keys.push(key)
    values.push(member)
  }
  at++
  return isSorted ? joined(keys, values) : joined(...sorted(keys, values))
}

function array(): string {
  const values: string[] = []
  at++
  while (skipSpace() !== 0x5d) {
    if (text.charCodeAt(at) === 0x2c) at++
    values.push(value())
  }
  at++
  return `[${values.join(',')}]`
}

function string(): string {
  const start = at++
  let escaped = false
  for (; ; at++) {
    const c = text.charCodeAt(at)
    if (c === 0x22) break
    if (c === 0x5c) {
      escaped = true
      at++
    }
    if (at >= text.length) throw new RangeError('not validated: a string without end')
  }
  const raw = text.slice(start, ++at)
  return escaped ? JSON.stringify(JSON.parse(raw)) : raw
}

const digitsMax = 15

function number(word: string): string {
  if (word.length <= digitsMax && /^(?:0|-?[1-9]\d*)$/.test(word)) return word
  const digits = word
    .replace(/[eE].*$/, '')
    .replace(/[-.]/g, '')
    .replace(/^0+/, '')
  return digits.length > digitsMax || !Number.isFinite(Number(word)) ? word : String(Number(word))
}

function joined(keys: readonly string[], values: readonly string[]): string {
  let result = '{'
  for (let i = 0; i < keys.length; i++) {
    result += `${i === 0 ? '' : ','}${keys[i]}:${values[i]}`
  }
  return `${result}}`
}

function sorted(keys: readonly string[], values: readonly string[]): [string[], string[]] {
  const members = new Map<string, string>()
  for (let i = 0; i < keys.length; i++) members.set(keys[i] as string, values[i] as string)
  const order = [...members.keys()].sort((a, b) => (isBefore(a, b) ? -1 : 1))
  return [order, order.map((key) => members.get(key) as string)]
}

/** Key texts with their quotes: the closing one must not take part in the order. */
function isBefore(a: string, b: string): boolean {
  if (a.includes('\\') || b.includes('\\')) {
    return (JSON.parse(a) as string) < (JSON.parse(b) as string)
  }
  return a.slice(0, -1) < b.slice(0, -1)
}

function skipSpace(): number {
  for (;;) {
    const c = text.charCodeAt(at)
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return c
    at++
  }
}

function isEndOfWord(c: number): boolean {
  return c === 0x2c || c === 0x7d || c === 0x5d || c <= 0x20
}
