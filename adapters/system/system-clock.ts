import type { Clock } from '../../kernel/ports.ts'

export const systemClock: Clock = { nowMs: () => Date.now() }
