import { expect, test } from 'vitest'
import { crashPort } from './crash-point.ts'

function passed(text: string | undefined, points: readonly number[]): number[] {
  const killedAt: number[] = []
  let passings = 0
  const { onCrashPoint } = crashPort(text, () => killedAt.push(passings))
  for (const point of points) {
    passings++
    onCrashPoint?.(point)
  }
  return killedAt
}

test('the named point kills at its so-manyth passing, once, and no other point does', () => {
  expect(passed('4', [1, 2, 3, 4, 4])).toEqual([4])
  expect(passed('4:2', [4, 3, 4, 4])).toEqual([3])
  expect(passed('5', [1, 2, 3, 4])).toEqual([])
})

test('without the variable nothing is wired, and one that is none is refused', () => {
  expect(crashPort(undefined, () => undefined)).toEqual({})
  expect(crashPort('', () => undefined)).toEqual({})
  for (const text of ['0', 'x', '4:', '4:0', '4:2:1']) {
    expect(() => crashPort(text, () => undefined)).toThrow('POTOK_TEST_CRASH_AT')
  }
})
