/**
 * For tests only: a process that kills itself in one of the windows marked CRASH POINT, at its so-manyth
 * passing. `POTOK_TEST_CRASH_AT=4:2` is the second time that point 4 is passed; a role has points of its own.
 * Without the variable nothing is wired.
 */
import { PotokError } from '../kernel/errors.ts'

export const crashAtVariable = 'POTOK_TEST_CRASH_AT'

/** `onCrashPoint` for the ports of a role, or nothing. */
export function crashPort(
  text: string | undefined,
  kill: () => void,
): { readonly onCrashPoint?: (point: number) => void } {
  if (text === undefined || text === '') return {}
  const found = /^([1-9]\d?)(?::([1-9]\d{0,5}))?$/.exec(text)
  if (found === null) {
    throw new PotokError('InvalidInput', `${crashAtVariable}: ${text} is no point, nor point:count`)
  }
  const wanted = Number(found[1])
  let left = Number(found[2] ?? 1)
  return {
    onCrashPoint: (point) => {
      if (point !== wanted) return
      left--
      if (left === 0) kill()
    },
  }
}

/** That of this process: SIGKILL, as by a machine that goes away. */
export function crashPortOfProcess(): ReturnType<typeof crashPort> {
  return crashPort(process.env[crashAtVariable], () => process.kill(process.pid, 'SIGKILL'))
}
