/** Times that come again and again, as a port, so that what is due can be decided in tests by hand. */
export interface Schedule {
  /** Calls at each time of the cron expression, until stopped. InvalidInput where it can't be understood. */
  at(cron: string, timeZone: string, onDue: () => void): { stop(): void }
}
