/** Values by key up to a total size; the least recently used go first. For what is immutable under its key. */
export type BoundedCache<T> = {
  get(key: string): T | undefined
  set(key: string, value: T, sizeBytes: number): void
}

export function createBoundedCache<T>(sizeBytesMax: number): BoundedCache<T> {
  const held = new Map<string, { value: T; sizeBytes: number }>()
  let total = 0

  function drop(key: string): void {
    total -= held.get(key)?.sizeBytes ?? 0
    held.delete(key)
  }

  return {
    get(key) {
      const found = held.get(key)
      if (found === undefined) return undefined
      held.delete(key)
      held.set(key, found)
      return found.value
    },
    set(key, value, sizeBytes) {
      drop(key)
      if (sizeBytes > sizeBytesMax) return
      held.set(key, { value, sizeBytes })
      total += sizeBytes
      for (const oldest of held.keys()) {
        if (total <= sizeBytesMax) return
        drop(oldest)
      }
    },
  }
}
