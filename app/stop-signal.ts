/** Waits for SIGINT or SIGTERM, or for a part that died. A second signal ends the process at once. */
export type StopSignal = {
  readonly signalled: Promise<void>
  readonly fail: (error: Error) => void
  readonly exitCode: () => number
}

export function waitForStopSignal(): StopSignal {
  let failed: Error | null = null
  let wake: () => void = () => undefined
  const signalled = new Promise<void>((resolve) => {
    wake = resolve
  })
  let count = 0
  const onSignal = (): void => {
    count++
    if (count > 1) process.exit(130)
    wake()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return {
    signalled,
    fail: (error) => {
      if (failed === null) process.stderr.write(`potok: ${error.message}\n`)
      failed = error
      wake()
    },
    exitCode: () => (failed === null ? 0 : 1),
  }
}
