/** What the exact job needs of the world, and its settings. */
import type { Catalog, TableIdentifier } from '../../iceberg/catalog.ts'
import type { ManifestCache } from '../../iceberg/scan/plan-files.ts'
import type { ExactEngine } from '../../kernel/exact-engine.ts'
import type {
  Clock,
  IdSource,
  Logger,
  ObjectStore,
  ParquetReader,
  ParquetWriter,
  LogIdentity,
} from '../../kernel/ports.ts'
import { namespaceName } from '../../kernel/tables.ts'
import { usPerHour } from '../../kernel/time.ts'

export type LogEnds = {
  /** null: no log, or one that needn't be told from another. */
  readonly identity: LogIdentity | null
  /** By log partition. Empty: no log. */
  readonly ends: ReadonlyMap<number, number>
}

export type RecomputePorts = {
  readonly catalog: Catalog
  readonly store: ObjectStore
  readonly manifests: ManifestCache
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  readonly engine: ExactEngine
  readonly parquetReader: ParquetReader
  readonly parquetWriter: ParquetWriter
  /** The log now: what was acknowledged before a run was asked for. */
  readonly logEnds: () => Promise<LogEnds>
  /** Rejects with ShuttingDown when aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** For tests: killed in the windows of a commit (commit-days.ts). */
  readonly onCrashPoint?: (point: 1 | 2) => void
}

export type RecomputeConfig = {
  /** Allowed lateness: when a day is due, and what `late_count` counts. The stream's must be the same. */
  readonly latenessUsMax: number
  /** How long a run waits for writer and rollup stream to reach what was acknowledged before it. */
  readonly waitMsMax: number
  /** Days in one commit. Bounds the work that a conflict or a crash can cost, and the size of a commit. */
  readonly daysPerCommitMax: number
  readonly commitAttemptsMax: number
}

export const recomputeConfigDefaults: RecomputeConfig = {
  latenessUsMax: 3 * usPerHour,
  waitMsMax: 120_000,
  daysPerCommitMax: 31,
  commitAttemptsMax: 40,
}

export function tableIdentifier(name: string): TableIdentifier {
  return { namespace: [namespaceName], name }
}
