/**
 * Who reads which log partitions, as a consumer group of Kafka shares them out: nobody has any before the
 * first rebalance, shares change at any time, members hear of it one after another (so that for a while two
 * have a partition, or nobody), and a member that doesn't show itself for longer than the session time-out is
 * out: it goes on believing in what it had until it wakes up.
 */
import type { Random } from './random.ts'
import type { SimulatedTime } from './simulated-time.ts'

export type GroupMember = {
  /** What this member believes to have. */
  assignment(): readonly number[]
  /** It is alive, and hears what there is to hear. */
  showUp(): void
  leave(): void
}

export type SimulatedGroup = {
  join(): GroupMember
  /** Shares out anew, as when somebody comes or goes. */
  rebalance(): void
}

type Member = {
  believed: readonly number[]
  given: readonly number[]
  seenMs: number
  hearsAtMs: number
  isIn: boolean
}

const sessionMs = 10_000
const hearingMsMax = 4_000

export function createSimulatedGroup(options: {
  time: SimulatedTime
  random: Random
  /** Log partitions now; it may grow. */
  partitionCount: () => number
}): SimulatedGroup {
  const { time, random } = options
  const members = new Set<Member>()
  // Not the wall clock, which jumps.
  let elapsedMs = 0
  let lastMs = time.nowMs()
  const nowMs = (): number => {
    const now = time.nowMs()
    elapsedMs += Math.min(Math.max(0, now - lastMs), 60_000)
    lastMs = now
    return elapsedMs
  }

  function rebalance(): void {
    const now = nowMs()
    for (const member of members) {
      if (now - member.seenMs <= sessionMs) continue
      member.isIn = false
      members.delete(member)
    }
    const shares = new Map<Member, number[]>([...members].map((member) => [member, []]))
    const alive = [...members]
    if (alive.length === 0) return
    for (let logPartition = 0; logPartition < options.partitionCount(); logPartition++) {
      shares.get(random.pick(alive))?.push(logPartition)
    }
    for (const [member, share] of shares) {
      member.given = share
      member.hearsAtMs = now + random.below(hearingMsMax)
    }
  }

  return {
    rebalance,
    join() {
      const member: Member = { believed: [], given: [], seenMs: nowMs(), hearsAtMs: 0, isIn: true }
      members.add(member)
      rebalance()
      return {
        assignment: () => [...member.believed],
        showUp() {
          member.seenMs = nowMs()
          if (!member.isIn) {
            // It learns that it was out: what it had is gone, and it comes in again.
            member.isIn = true
            member.believed = []
            members.add(member)
            rebalance()
          } else if (member.seenMs >= member.hearsAtMs) {
            member.believed = member.given
          }
        },
        leave() {
          members.delete(member)
          rebalance()
        },
      }
    },
  }
}
