import { expect, test } from 'vitest'
import { createRandom } from '../random.ts'
import { dealFaults, type FaultGroup } from './deck.ts'

const groups: readonly FaultGroup<string>[] = [
  { perRound: 2, kinds: ['kill a', 'kill b', 'kill c'] },
  { perRound: 1, kinds: ['cut'] },
]

function dealt(seed: number, count: number): string[] {
  const deal = dealFaults(groups, createRandom(seed))
  return Array.from({ length: count }, () => deal())
}

test('a round deals every group its share, and every kind of a group comes before one comes again', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const faults = dealt(seed, 9)
    for (let at = 0; at < 9; at += 3) {
      expect(faults.slice(at, at + 3).filter((kind) => kind === 'cut')).toHaveLength(1)
    }
    const kills = faults.filter((kind) => kind !== 'cut')
    expect(new Set(kills.slice(0, 3)).size).toBe(3)
    expect(new Set(kills.slice(3, 6)).size).toBe(3)
  }
})

test('the same seed deals the same faults, another seed others', () => {
  expect(dealt(7, 30)).toEqual(dealt(7, 30))
  expect(dealt(7, 30)).not.toEqual(dealt(8, 30))
})
