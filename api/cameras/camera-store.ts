/**
 * The register of cameras in the table `cameras`: read whole, changed by replacing its files in one commit.
 *
 * The table is small (a row per camera and period, `rowsMax` at most), so a change rewrites it; a commit that
 * lost against another one starts over from what is there now. After an unknown outcome the table is looked
 * at: our rows are in it, or the change is tried again, which is harmless as it replaces by key.
 */
import type { Catalog, LoadedTable } from '../../iceberg/catalog.ts'
import { dataFileOf } from '../../iceberg/spec/from-definition.ts'
import { stageSnapshot, type TransactionIo } from '../../iceberg/transaction/stage-snapshot.ts'
import { isPotokError, PotokError } from '../../kernel/errors.ts'
import type { ParquetReader, ParquetWriter } from '../../kernel/ports.ts'
import { camerasTable, namespaceName } from '../../kernel/tables.ts'
import type { LiveFile, LiveFileScanner } from '../ports.ts'
import {
  cameraColumns,
  type CameraFacts,
  type CameraRegister,
  decodeFacts,
  encodeFacts,
  mergeFacts,
  registerOf,
} from './camera-facts.ts'

export type CameraStorePorts = TransactionIo & {
  readonly catalog: Catalog
  readonly scanner: LiveFileScanner
  readonly parquetReader: ParquetReader
  readonly parquetWriter: ParquetWriter
}

export interface CameraStore {
  /** As of the newest snapshot; read again only where the table changed since. */
  register(): Promise<CameraRegister>
  /** Adds rows, or replaces those of the same camera and `validFromUs`. Gives how many cameras are new. */
  importCameras(rows: readonly CameraFacts[]): Promise<{ added: number; changed: number }>
}

const identifier = { namespace: [namespaceName], name: camerasTable.name }
const rowsMax = 500_000
const attemptsMax = 8

export function createCameraStore(ports: CameraStorePorts): CameraStore {
  const { catalog, scanner, parquetReader, parquetWriter } = ports
  let known: { snapshotId: bigint | null; register: CameraRegister } | null = null
  /** Changes of this process go one after another: they would only fight each other. */
  let changes: Promise<unknown> = Promise.resolve()

  async function read(
    table: LoadedTable,
  ): Promise<{ files: readonly LiveFile[]; rows: CameraFacts[] }> {
    const files = await scanner.all(table.metadata)
    if (files.length === 0) return { files, rows: [] }
    const paths = files.map(({ path }) => path)
    return {
      files,
      rows: decodeFacts(await parquetReader.read(camerasTable, paths, cameraColumns)),
    }
  }

  async function register(): Promise<CameraRegister> {
    const table = await catalog.loadTable(identifier)
    const snapshotId = table.metadata.currentSnapshotId
    if (known === null || known.snapshotId !== snapshotId) {
      known = { snapshotId, register: registerOf((await read(table)).rows) }
    }
    return known.register
  }

  async function change(
    added: readonly CameraFacts[],
  ): Promise<{ added: number; changed: number }> {
    for (let attempt = 1; ; attempt++) {
      const table = await catalog.loadTable(identifier)
      const { files, rows } = await read(table)
      const merged = mergeFacts(rows, added)
      if (merged.length > rowsMax) {
        throw new PotokError('TooLarge', `the table cameras holds at most ${rowsMax} rows`)
      }
      const before = registerOf(rows)
      const after = registerOf(merged)
      const counts = {
        added: after.size - before.size,
        changed: [...new Set(added.map(({ kvfvId }) => kvfvId))].filter((id) => before.has(id))
          .length,
      }
      if (isSame(rows, merged)) return counts
      try {
        await replace(table, files, merged)
        return counts
      } catch (error) {
        const isWorthAnother =
          isPotokError(error, 'CommitConflict') || isPotokError(error, 'CommitStateUnknown')
        if (!isWorthAnother || attempt >= attemptsMax) throw error
      }
    }
  }

  async function replace(
    table: LoadedTable,
    files: readonly LiveFile[],
    rows: readonly CameraFacts[],
  ): Promise<void> {
    const { metadata } = table
    const written = await parquetWriter.write(
      camerasTable,
      encodeFacts(rows),
      () => `${metadata.location}/data/${ports.ids.uuid()}.parquet`,
    )
    const ids = { specId: metadata.defaultSpecId, sortOrderId: metadata.defaultSortOrderId }
    const staged = await stageSnapshot(ports, table, {
      operation: files.length === 0 ? 'append' : 'overwrite',
      add: written.map((file) => dataFileOf(camerasTable, file, ids)),
      remove: new Set(files.map(({ path }) => path)),
    })
    const [committed] = await catalog.commit([staged.commit])
    known = {
      snapshotId: committed?.metadata.currentSnapshotId ?? null,
      register: registerOf(rows),
    }
  }

  return {
    register,
    importCameras(rows) {
      const result = changes.then(() => change(rows))
      changes = result.catch(() => {})
      return result
    },
  }
}

function isSame(a: readonly CameraFacts[], b: readonly CameraFacts[]): boolean {
  return JSON.stringify(mergeFacts([], a)) === JSON.stringify(b)
}
