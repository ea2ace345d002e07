/**
 * Filters as people write them on a command line, a small part of SQL's WHERE:
 *
 *     speed > 90 and (name like 'KV%' or name is null) and not day in ('2025-04-05', '2025-04-06')
 *
 * Columns go by name, in double quotes where the name holds more than letters, digits, `_` and `.`; keywords in
 * any case. A literal is read by the type of the column it is compared with. It makes a filter, never SQL.
 */
import { PotokError } from '../../kernel/errors.ts'
import { parseValue } from '../codec/value-text.ts'
import type { IcebergType, StructType } from '../spec/table-metadata.ts'
import { columnPath } from './bind-filter.ts'
import type { ScanExpression, ScanFilter } from './scan-filter.ts'

type Token = {
  readonly kind: 'name' | 'quoted' | 'text' | 'number' | 'sign'
  readonly text: string
  readonly at: number
}

const depthMax = 100

/** InvalidInput with the place of what isn't understood. */
export function parseFilter(schema: StructType, text: string): ScanFilter {
  const parser = createParser(schema, tokensOf(text), text)
  return [parser.whole()]
}

const tokenPattern =
  /\s*(?:(?<name>[\p{L}_][\p{L}\p{M}\p{N}_.]*)|"(?<quoted>(?:[^"]|"")*)"|'(?<text>(?:[^']|'')*)'|(?<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?<sign><=|>=|<>|!=|==|[=<>(),]))/uy

function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  const end = text.trimEnd().length
  let at = 0
  while (at < end) {
    tokenPattern.lastIndex = at
    const match = tokenPattern.exec(text)
    const found = Object.entries(match?.groups ?? {}).find(([, value]) => value !== undefined)
    if (match === null || found === undefined) throw notUnderstood(text, at)
    const [kind, value] = found as [Token['kind'], string]
    const plain =
      kind === 'quoted'
        ? value.replaceAll('""', '"')
        : kind === 'text'
          ? value.replaceAll("''", "'")
          : value
    tokens.push({ kind, text: plain, at: match.index })
    at = tokenPattern.lastIndex
  }
  return tokens
}

function createParser(schema: StructType, tokens: readonly Token[], source: string) {
  let at = 0
  let depth = 0

  const peek = () => tokens[at]
  const isWord = (token: Token | undefined, word: string) =>
    token?.kind === 'name' && token.text.toLowerCase() === word
  const isSign = (token: Token | undefined, sign: string) =>
    token?.kind === 'sign' && token.text === sign
  const take = (matches: boolean): boolean => {
    if (matches) at++
    return matches
  }
  const takeWord = (word: string) => take(isWord(peek(), word))
  const takeSign = (sign: string) => take(isSign(peek(), sign))
  const fail = () => notUnderstood(source, peek()?.at ?? source.length)
  const expect = (isThere: boolean) => {
    if (!isThere) throw fail()
  }

  function whole(): ScanExpression {
    const expression = either()
    expect(at === tokens.length)
    return expression
  }

  function either(): ScanExpression {
    const of = [both()]
    while (takeWord('or')) of.push(both())
    return of.length === 1 ? (of[0] as ScanExpression) : { op: 'or', of }
  }

  function both(): ScanExpression {
    const of = [one()]
    while (takeWord('and')) of.push(one())
    return of.length === 1 ? (of[0] as ScanExpression) : { op: 'and', of }
  }

  function one(): ScanExpression {
    if (++depth > depthMax) throw fail()
    try {
      if (takeWord('not')) return { op: 'not', of: one() }
      if (takeSign('(')) {
        const inner = either()
        expect(takeSign(')'))
        return inner
      }
      return predicate()
    } finally {
      depth--
    }
  }

  function predicate(): ScanExpression {
    const token = peek()
    if (token?.kind !== 'name' && token?.kind !== 'quoted') throw fail()
    at++
    const column = token.text
    const field = columnPath(schema, column)?.at(-1)
    if (field === undefined) {
      throw new PotokError('InvalidInput', `the table has no column ${column}`, {
        context: { column },
      })
    }
    if (takeWord('is')) return isTest(column)
    const isNegated = takeWord('not')
    if (takeWord('in')) {
      return { column, op: isNegated ? 'not in' : 'in', values: list(field.type) }
    }
    if (takeWord('like')) return like(column, isNegated)
    expect(!isNegated)
    return comparison(column, field.type)
  }

  function isTest(column: string): ScanExpression {
    const isNegated = takeWord('not')
    if (takeWord('null')) return { column, op: isNegated ? 'is not null' : 'is null' }
    expect(takeWord('nan'))
    return { column, op: isNegated ? 'is not nan' : 'is nan' }
  }

  function comparison(column: string, type: IcebergType): ScanExpression {
    const sign = peek()
    if (sign?.kind !== 'sign') throw fail()
    const op = comparisons[sign.text]
    if (op === undefined) throw fail()
    at++
    return { column, op, value: literal(type) }
  }

  function list(type: IcebergType) {
    expect(takeSign('('))
    const values = [literal(type)]
    while (takeSign(',')) values.push(literal(type))
    expect(takeSign(')'))
    return values
  }

  function literal(type: IcebergType) {
    const token = peek()
    const isBoolean = isWord(token, 'true') || isWord(token, 'false')
    if (token === undefined || token.kind === 'quoted' || token.kind === 'sign') throw fail()
    if (token.kind === 'name' && !isBoolean) throw fail()
    // A number for a text is more likely a mistake than meant.
    if (type === 'string' && token.kind !== 'text') throw fail()
    at++
    return parseValue(type, token.text)
  }

  function like(column: string, isNegated: boolean): ScanExpression {
    const token = peek()
    if (token?.kind !== 'text') throw fail()
    at++
    const prefix = /^((?:[^%_\\]|\\[%_\\])*)(%?)$/.exec(token.text)
    if (prefix === null) {
      throw new PotokError('Unsupported', `like knows prefixes only ('abc%'), not '${token.text}'`)
    }
    const value = (prefix[1] as string).replaceAll(/\\(.)/g, '$1')
    if (prefix[2] === '') return { column, op: isNegated ? '!=' : '=', value }
    return { column, op: isNegated ? 'not starts with' : 'starts with', value }
  }

  return { whole }
}

const comparisons: Readonly<Record<string, '=' | '!=' | '<' | '<=' | '>' | '>='>> = {
  '=': '=',
  '==': '=',
  '!=': '!=',
  '<>': '!=',
  '<': '<',
  '<=': '<=',
  '>': '>',
  '>=': '>=',
}

function notUnderstood(text: string, at: number): PotokError {
  const rest = text.slice(at).trim()
  return new PotokError(
    'InvalidInput',
    rest === ''
      ? `the filter ends too early: ${text}`
      : `the filter is not understood from here: ${rest}`,
  )
}
