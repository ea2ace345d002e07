import { describe, expect, it } from 'vitest'
import { noKeys } from './idempotency-state.ts'
import { decodeRootState, encodeRootState, nextRootState } from './root-state.ts'

const format1 = {
  format: 'potok-catalog-root',
  'format-version': 1,
  generation: 7,
  'swap-id': 'aa',
  'updated-ms': 1,
  entries: [
    { kind: 'namespace', namespace: ['ns'], properties: { a: '1' } },
    { kind: 'table', namespace: ['ns'], name: 't', uuid: 'u', 'metadata-location': 'memory://w/m' },
    { kind: 'view', namespace: ['ns'], name: 'v', dropped: true },
  ],
  pages: [{ 'first-key': 'n', location: 'memory://w/p', 'entry-count': 3 }],
  'retired-pages': ['memory://w/q'],
  'swap-ids': ['9', 'aa'],
}

function bytesOf(wire: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(wire))
}

describe('the root', () => {
  it('of format 1 is read, and becomes one of format 2 with an id by the next swap', () => {
    const state = decodeRootState(bytesOf(format1))
    expect(state).toMatchObject({ warehouseId: null, generation: 7, idempotency: noKeys })
    expect(state.entries.size).toBe(3)
    const { entries, pages, retiredPages, idempotency } = state
    const change = { swapId: 'bb', updatedMs: 2, entries, pages, retiredPages, idempotency }
    const next = nextRootState(state, change)
    const wire = JSON.parse(new TextDecoder().decode(encodeRootState(next)))
    expect(wire).toMatchObject({ 'format-version': 2, generation: 8, 'warehouse-id': 'bb' })
    expect(decodeRootState(encodeRootState(next))).toEqual(next)
    const after = nextRootState(next, { ...change, swapId: 'cc' })
    expect(after.warehouseId).toBe('bb')
  })

  it('of a newer format is refused', () => {
    expect(() => decodeRootState(bytesOf({ ...format1, 'format-version': 3 }))).toThrow(
      /written by a newer potok \(format 3/,
    )
  })

  it('that is no JSON, or not one of ours, is refused', () => {
    expect(() => decodeRootState(new TextEncoder().encode('{"format":"po'))).toThrow(/no JSON/)
    expect(() => decodeRootState(bytesOf({}))).toThrow(/not one of potok's/)
  })
})
