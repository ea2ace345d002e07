/** Logs: JSON lines on stderr, so that stdout stays for data and for what a person reads. */
import pino from 'pino'
import type { Logger } from '../../kernel/ports.ts'

export function createLogger(options: { level: string; role: string }): Logger {
  const logger = pino(
    {
      level: options.level,
      base: { role: options.role },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ dest: 2, sync: true }),
  )
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  }
}
