/** `Schedule` by node-cron: five fields (minute hour day month weekday), or six with seconds in front. */
import { createTask, validateDetailed } from 'node-cron'
import { describeError, PotokError } from '../../kernel/errors.ts'
import type { Schedule } from '../../kernel/schedule.ts'

export function createCronSchedule(): Schedule {
  return {
    at(cron, timeZone, onDue) {
      const validation = validateDetailed(cron)
      if (!validation.valid) {
        const faults = validation.errors.map(({ message }) => message).join('; ')
        throw new PotokError('InvalidInput', `"${cron}" is no cron expression: ${faults}`)
      }
      assertTimeZone(timeZone)
      try {
        const task = createTask(cron, () => onDue(), { timezone: timeZone })
        void task.start()
        return {
          stop() {
            void task.destroy()
          },
        }
      } catch (cause) {
        throw new PotokError(
          'InvalidInput',
          `the schedule "${cron}" (${timeZone}) can't be kept: ${describeError(cause)}`,
          { cause },
        )
      }
    },
  }
}

function assertTimeZone(timeZone: string): void {
  try {
    Intl.DateTimeFormat('en', { timeZone }).resolvedOptions()
  } catch (cause) {
    throw new PotokError('InvalidInput', `"${timeZone}" is no IANA time zone`, { cause })
  }
}
