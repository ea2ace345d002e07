import { PotokError } from '../../kernel/errors.ts'
import type { LogRange } from '../../kernel/ports.ts'

/** What every log says of a position that it doesn't hold: never a silent reset. */
export function outsideOfLog(
  logPartition: number,
  offset: number,
  { startOffset, endOffset }: Pick<LogRange, 'startOffset' | 'endOffset'>,
): PotokError {
  return new PotokError(
    'InvalidInput',
    `offset ${offset} of log partition ${logPartition} is outside of the log, which holds ` +
      `${startOffset} to ${endOffset}`,
    { context: { logPartition, offset, startOffset, endOffset } },
  )
}
