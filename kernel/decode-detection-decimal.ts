/**
 * Exact decimal arithmetic on JSON number texts. A double can't tell 85.2005 from what lies just below it,
 * so what is rounded or compared is the text. The plain way, for the fallback and the mapping; the scanner
 * does the common form (digits, point, digits) in place.
 */

export type ScaledDecimal = {
  readonly negative: boolean
  /** ⌊|value| · 10^scale⌋; Infinity where it has more than 16 digits (all safe integers have fewer or as many). */
  readonly floor: number
  /** Is anything cut off? */
  readonly inexact: boolean
  /** Is what is cut off at least a half? */
  readonly half: boolean
}

/** `text` is a JSON number. */
export function scaleDecimal(text: string, scale: number): ScaledDecimal {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text)
  if (match === null) throw new RangeError('not a JSON number')
  const fraction = match[3] ?? ''
  const digits = `${match[2]}${fraction}`.replace(/^0+/, '')
  const negative = match[1] === '-' && /[1-9]/.test(digits)
  if (digits === '') return { negative: false, floor: 0, inexact: false, half: false }
  // Digits before the point after scaling; the exponent may be beyond any number, then it is ±Infinity.
  const leading = digits.length - fraction.length + Number(match[4] ?? 0) + scale
  if (leading > 16)
    return { negative, floor: Number.POSITIVE_INFINITY, inexact: false, half: false }
  if (leading < 0) return { negative, floor: 0, inexact: true, half: false }
  return {
    negative,
    floor: Number(digits.slice(0, leading).padEnd(leading, '0')),
    inexact: /[1-9]/.test(digits.slice(leading)),
    half: digits.charCodeAt(leading) >= 0x35,
  }
}
