import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createItemCursor, sniffFormat, type BodyFormat } from './item-cursor.ts'

function itemsOf(text: string | Buffer, format: BodyFormat): string[] {
  const body = Buffer.from(text)
  const cursor = createItemCursor(body, format)
  const items: string[] = []
  while (cursor.next()) items.push(body.toString('utf8', cursor.start, cursor.end))
  return items
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('items of NDJSON', () => {
  it('are the lines that are not blank, without white space around them', () => {
    expect(itemsOf('{"a":1}\r\n\n  \t\n {"b":2} \n{"c":3}', 'ndjson')).toEqual([
      '{"a":1}',
      '{"b":2}',
      '{"c":3}',
    ])
    expect(itemsOf('\n \r\n', 'ndjson')).toEqual([])
    expect(itemsOf('', 'ndjson')).toEqual([])
  })

  it('begin after a byte order mark', () => {
    expect(itemsOf('\uFEFF{"a":1}\n', 'ndjson')).toEqual(['{"a":1}'])
    expect(itemsOf('\uFEFF[1]', 'json')).toEqual(['1'])
  })

  it('are not looked for in UTF-16', () => {
    expect(() => itemsOf(Buffer.from('\uFEFF[]', 'utf16le'), 'json')).toThrow('UTF-16')
  })
})

describe('items of a JSON document', () => {
  it('are the elements of an array as they were written, or the document itself', () => {
    expect(itemsOf(' [ {"a":"]},["} ,\n[1,{"b":2}], "x\\"," ,12 ,null ] \n', 'json')).toEqual([
      '{"a":"]},["}',
      '[1,{"b":2}]',
      '"x\\","',
      '12',
      'null',
    ])
    expect(itemsOf(' {"a":[1,2]} \n', 'json')).toEqual(['{"a":[1,2]}'])
    expect(itemsOf('[ ]', 'json')).toEqual([])
    expect(itemsOf('  ', 'json')).toEqual([])
  })

  it.each(['[', '[1', '[1,', '[1,]', '[,1]', '[1 2]x', '[1]]', '[1],', '[{"a":1}', '["a]', '[1}'])(
    'are not found in %s',
    (text) => {
      const isRefused = () => {
        if (!itemsOf(text, 'json').every(isJson)) throw new Error('item refused')
      }
      expect(isRefused).toThrow()
    },
  )

  it('are the elements that JSON.parse finds, spaced in any way', () => {
    fc.assert(
      fc.property(fc.array(fc.json()), fc.constantFrom('', ' ', '\n\t'), (texts, space) => {
        const body = `${space}[${space}${texts.join(`${space},${space}`)}${space}]${space}`
        expect(itemsOf(body, 'json')).toEqual(texts)
      }),
    )
  })

  it('are all valid in a valid document, and only there', () => {
    const valid = '[{"a":"x,]\\"}"},[1,[2]],{"b":{"c":[]}},3,"\\\\"]'
    const edits = fc.array(
      fc.tuple(fc.nat(valid.length), fc.constantFrom(...'[]{},:"\\ 1'.split(''))),
      {
        minLength: 1,
        maxLength: 3,
      },
    )
    fc.assert(
      fc.property(edits, fc.boolean(), (changes, replaces) => {
        const text = [...Buffer.from(valid)].map((byte) => String.fromCharCode(byte))
        for (const [at, c] of changes) text.splice(at, replaces ? 1 : 0, c)
        const body = text.join('')
        let items: string[] | null
        try {
          items = itemsOf(body, 'json')
        } catch {
          items = null
        }
        expect(items?.every(isJson) ?? false).toBe(isJson(body))
        if (isJson(body) && items !== null && body.startsWith('[')) {
          expect(items.map((item) => JSON.parse(item))).toEqual(JSON.parse(body))
        }
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('the format of a body without a type', () => {
  it.each([
    ['{"a":1}', 'json'],
    ['{\n"a":1\n}\n', 'json'],
    ['[{"a":1}]', 'json'],
    ['{"a":1}\n{"b":2}', 'ndjson'],
    ['{"a":"}"} {"b":2}', 'ndjson'],
    ['\uFEFF {"a":1}\n{"b":2}', 'ndjson'],
    ['text', 'json'],
    ['', 'json'],
  ])('of %s is %s', (text, format) => expect(sniffFormat(Buffer.from(text))).toBe(format))
})
