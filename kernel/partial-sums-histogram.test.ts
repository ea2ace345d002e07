import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { addToHistogram, createHistogram, forEachBin } from './partial-sums-histogram.ts'

const additions = fc.array(
  fc.tuple(fc.nat(400), fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.nat(1_000))),
  { maxLength: 60 },
)

it('a histogram counts every bin, by rising bin, however many events there are', () => {
  fc.assert(
    fc.property(additions, (added) => {
      const histogram = createHistogram()
      const expected = new Map<number, number>()
      for (const [bin, count] of added) {
        addToHistogram(histogram, bin, count)
        if (count > 0) expected.set(bin, (expected.get(bin) ?? 0) + count)
        const bins: [number, number][] = []
        forEachBin(histogram, (...entry) => bins.push(entry))
        expect(bins).toEqual([...expected].sort(([a], [b]) => a - b))
      }
    }),
  )
})
