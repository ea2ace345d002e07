/**
 * Pseudo-random numbers from a seed, for the simulator only: the same seed gives the same fleet, the same
 * detections and the same faults on every machine. Any point of the simulation can be asked for on its own,
 * since a generator is made from the seed and the coordinates (camera, tick), not taken from a long sequence.
 */
export type Random = {
  /** Uniform in [0, 1). */
  next(): number
  /** Uniform integer in [0, bound). */
  below(bound: number): number
  /** Standard normal, by Box and Muller. */
  normal(): number
  /** Poisson with this mean: how many vehicles pass in a while. */
  poisson(mean: number): number
}

/** mulberry32 (Tommy Ettinger, public domain) on a mix of the coordinates. */
export function createRandom(...coordinates: readonly number[]): Random {
  let state = 0x9e3779b9
  for (const coordinate of coordinates) {
    state = mix(state ^ mix(coordinate >>> 0) ^ mix(Math.floor(coordinate / 2 ** 32) + 0x51ed270b))
  }
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
  return {
    next,
    below: (bound) => Math.floor(next() * bound),
    normal,
    poisson(mean) {
      // Knuth's product needs about `mean` draws; far out the normal approximation is as good.
      if (mean > 30) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal()))
      const limit = Math.exp(-mean)
      let count = 0
      for (let product = next(); product > limit; product *= next()) count++
      return count
    },
  }
}

/** Finalizer of MurmurHash3. */
function mix(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
