/** Waits until all of them have settled, but not for longer. */
export async function settledWithin(
  promises: ReadonlySet<Promise<void>>,
  ms: number,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([Promise.allSettled(promises), timeout])
  clearTimeout(timer)
}
