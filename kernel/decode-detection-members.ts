/**
 * The members of a JSON object as the sender wrote them. JSON.parse alone would round long numbers and
 * reorder keys; here every value stays the text it was.
 */

export type JsonMember = {
  readonly key: string
  /** The value's text, without white space around it. */
  readonly text: string
}

/** Further fields may be nested so deep: what walks them later may recurse. */
export const nestingDepthMax = 64

/**
 * Splits the text of a JSON object (validated by JSON.parse before: this only finds boundaries). Where a
 * key comes twice the last one counts, as with JSON.parse. `depth` is the deepest nesting, 1 for a flat object.
 */
export function splitMembers(text: string): { members: Map<string, JsonMember>; depth: number } {
  const members = new Map<string, JsonMember>()
  let depth = 0
  let depthMax = 1
  let keyStart = -1
  let key: string | null = null
  let valueStart = -1
  const close = (end: number) => {
    if (key === null) return
    members.delete(key)
    members.set(key, { key, text: text.slice(valueStart, end).trim() })
    key = null
  }
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: {
        if (depth === 1 && key === null) keyStart = i
        i = endOfString(text, i)
        if (keyStart >= 0) {
          const raw = text.slice(keyStart + 1, i)
          key = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw
          keyStart = -1
          valueStart = -1
        }
        break
      }
      case 0x3a:
        if (depth === 1 && valueStart < 0) valueStart = i + 1
        break
      case 0x7b:
      case 0x5b:
        depth++
        if (depth > depthMax) depthMax = depth
        break
      case 0x7d:
      case 0x5d:
        if (depth === 1) close(i)
        depth--
        break
      case 0x2c:
        if (depth === 1) close(i)
        break
      default:
    }
  }
  return { members, depth: depthMax }
}

export function joinMembers(members: Iterable<JsonMember>): string {
  const parts: string[] = []
  for (const { key, text } of members) parts.push(`${JSON.stringify(key)}:${text}`)
  return `{${parts.join(',')}}`
}

/** Index of the closing quote of the string that opens at `i`. */
function endOfString(text: string, i: number): number {
  for (i++; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x22) return i
    if (c === 0x5c) i++
  }
  throw new RangeError('not validated: a string without end')
}
