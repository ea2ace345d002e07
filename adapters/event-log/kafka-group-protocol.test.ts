import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  type Subscription,
  sharePartitions,
} from './kafka-group-protocol.ts'

const partitions = fc.uniqueArray(fc.nat(40), { maxLength: 12 })
const subscription: fc.Arbitrary<Subscription> = fc.record({
  owned: partitions,
  generation: fc.integer({ min: -1, max: 1_000 }),
})

describe('sharing of partitions', () => {
  it('gives each partition to one member, and no member two more than another', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), subscription, { minKeys: 1, maxKeys: 8 }),
        fc.nat(40),
        (members, count) => {
          const shares = [...sharePartitions(new Map(Object.entries(members)), count).values()]
          expect(shares.flat().sort((a, b) => a - b)).toEqual(
            Array.from({ length: count }, (_, i) => i),
          )
          const sizes = shares.map((share) => share.length)
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
        },
      ),
    )
  })

  it('moves nothing that need not move when a member comes, goes or stays', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.nat(40),
        fc.constantFrom(-1, 0, 1),
        (size, count, change) => {
          const names = Array.from({ length: size }, (_, i) => `m${i}`)
          const none = { owned: [], generation: -1 }
          const before = sharePartitions(new Map(names.map((name) => [name, none])), count)
          const after = names.slice(0, Math.max(1, size + Math.min(0, change)))
          if (change > 0) after.push('new')
          const members = after.map((name): [string, Subscription] => [
            name,
            { owned: before.get(name) ?? [], generation: before.has(name) ? 1 : -1 },
          ])
          const shares = sharePartitions(new Map(members), count)
          for (const name of after) {
            const owned = before.get(name) ?? []
            const kept = owned.filter((logPartition) => shares.get(name)?.includes(logPartition))
            expect(kept.length).toBe(Math.min(owned.length, shares.get(name)?.length ?? 0))
          }
        },
      ),
    )
  })

  it('believes of two that claim a partition the one who got his share later', () => {
    const shares = sharePartitions(
      new Map([
        ['a', { owned: [0, 1], generation: 4 }],
        ['b', { owned: [1, 2], generation: 7 }],
      ]),
      4,
    )
    expect(shares.get('b')).toEqual([1, 2])
    expect(shares.get('a')).toEqual([0, 3])
  })
})

describe('messages of a group', () => {
  it('come out as they went in; what others write into them is no error', () => {
    fc.assert(
      fc.property(
        subscription,
        fc.string({ minLength: 1 }),
        fc.uint8Array({ maxLength: 60 }),
        (one, topic, noise) => {
          expect(decodeSubscription(topic, encodeSubscription(topic, one))).toEqual(one)
          expect(decodeAssignment(topic, encodeAssignment(topic, one.owned))).toEqual(one.owned)
          expect(decodeSubscription('other', encodeSubscription(topic, one))?.owned ?? []).toEqual(
            topic === 'other' ? one.owned : [],
          )
          const bytes = Buffer.from(noise)
          expect(() => decodeSubscription(topic, bytes)).not.toThrow()
        },
      ),
    )
  })
})
