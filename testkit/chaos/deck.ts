/**
 * Which fault comes next, from a seed: kinds are dealt like cards, group by group, so that a short run has met
 * every group and a long one every kind several times. Pure.
 */
import type { Random } from '../random.ts'

export type FaultGroup<Kind extends string> = {
  /** How many of it in a round of all groups. */
  readonly perRound: number
  readonly kinds: readonly Kind[]
}

export function dealFaults<Kind extends string>(
  groups: readonly FaultGroup<Kind>[],
  random: Random,
): () => Kind {
  const piles = new Map<FaultGroup<Kind>, Kind[]>()
  let round: FaultGroup<Kind>[] = []
  return () => {
    if (round.length === 0) {
      round = shuffled(
        groups.flatMap((group) => Array.from({ length: group.perRound }, () => group)),
        random,
      )
    }
    const group = round.pop()
    if (group === undefined) throw new RangeError('no groups to deal from')
    const pile = piles.get(group) ?? []
    if (pile.length === 0) pile.push(...shuffled(group.kinds, random))
    piles.set(group, pile)
    return pile.pop() as Kind
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const [a, b] = [result[i] as T, result[j] as T]
    result[i] = b
    result[j] = a
  }
  return result
}
