/**
 * Tables as the catalog gave them last, by name, with the ETag by which it says that they are still so. Never
 * used without asking. The least recently used go first.
 */
import type { LoadedTable, TableIdentifier } from '../../iceberg/catalog.ts'

type Held = { readonly etag: string; readonly table: LoadedTable; readonly sizeBytes: number }

export type LoadedTables = {
  get(identifier: TableIdentifier): Held | undefined
  /** Without an ETag there is nothing to ask with: forgotten instead. */
  keep(table: LoadedTable, etag: string | undefined, sizeBytes: number): void
  forget(identifier: TableIdentifier): void
}

/** By the size of their JSON. */
const sizeBytesMax = 64 * 1024 * 1024

export function createLoadedTables(): LoadedTables {
  const held = new Map<string, Held>()
  let total = 0

  function drop(key: string): void {
    total -= held.get(key)?.sizeBytes ?? 0
    held.delete(key)
  }

  return {
    get(identifier) {
      const key = keyOf(identifier)
      const found = held.get(key)
      if (found === undefined) return undefined
      held.delete(key)
      held.set(key, found)
      return found
    },
    keep(table, etag, sizeBytes) {
      const key = keyOf(table.identifier)
      drop(key)
      if (etag === undefined || sizeBytes > sizeBytesMax) return
      held.set(key, { etag, table, sizeBytes })
      total += sizeBytes
      for (const oldest of held.keys()) {
        if (total <= sizeBytesMax) return
        drop(oldest)
      }
    },
    forget: (identifier) => drop(keyOf(identifier)),
  }
}

function keyOf({ namespace, name }: TableIdentifier): string {
  return JSON.stringify([...namespace, name])
}
