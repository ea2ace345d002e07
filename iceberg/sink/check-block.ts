/**
 * Whether a block goes on where the last one ended. Offsets rise without repetition; a gap before or in a
 * block is legitimate where the log never had records there (transactions leave such gaps), not where
 * retention removed what nobody has read.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { EventLog } from '../../kernel/ports.ts'
import { blockOffset, type RecordBlock } from '../../kernel/record-block.ts'

export type BlockCheck = {
  /**
   * False where a gap is one that retention made: then either another writer has read those records, or step 1
   * stops the sink. It never becomes a row that calls them empty.
   */
  continues(block: RecordBlock, ends: ReadonlyMap<number, number>): Promise<boolean>
}

/**
 * For the blocks of one poll. Where the log begins is asked after they were read, since it may have moved
 * before, and only if one of them has a gap, for all of them once: a log over a network must not be asked for
 * each block where every block has one.
 */
export function createBlockCheck(log: Pick<EventLog, 'ranges'>): BlockCheck {
  let starts: Promise<ReadonlyMap<number, number>> | null = null

  async function readStarts(): Promise<ReadonlyMap<number, number>> {
    const ranges = await log.ranges()
    return new Map(ranges.map((range) => [range.logPartition, range.startOffset]))
  }

  return {
    async continues(block, ends) {
      const { logPartition, baseOffset, nextOffset } = block
      const wantedOffset = ends.get(logPartition)
      if (wantedOffset === undefined || baseOffset < wantedOffset || nextOffset <= baseOffset) {
        throw new PotokError('DataCorrupt', 'the log handed out offsets that were not asked for', {
          context: { logPartition, baseOffset, nextOffset, wantedOffset },
        })
      }
      const firstOffset = block.count > 0 ? blockOffset(block, 0) : nextOffset
      if (firstOffset === wantedOffset) return true
      starts ??= readStarts()
      const startOffset = (await starts).get(logPartition)
      return startOffset === undefined || wantedOffset >= startOffset
    },
  }
}
