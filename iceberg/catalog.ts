/**
 * The port `Catalog`, owned by `iceberg/`. Implementations: `catalog/` in process, `adapters/catalog/` over
 * REST. Requirements and updates are the REST specification's, in memory in camel case
 * (`spec/table-updates.ts`); the wire form is in `codec/`.
 *
 * Outcomes of a commit: resolved = it is in. CommitConflict = definitely not in, a requirement failed.
 * NotFound, AlreadyExists, InvalidInput, Unsupported = definitely not in. CommitStateUnknown, Unavailable,
 * Timeout = it may or may not be in: the caller looks before it decides, and deletes nothing.
 */
import { type ErrorKind, PotokError } from '../kernel/errors.ts'
import type { PartitionSpec, Schema, SortOrder, TableMetadata } from './spec/table-metadata.ts'
import type { TableRequirement, TableUpdate } from './spec/table-updates.ts'
import type { ViewMetadata, ViewRequirement, ViewUpdate } from './spec/view-metadata.ts'

export type Namespace = readonly string[]
export type TableIdentifier = { readonly namespace: Namespace; readonly name: string }

export type LoadedTable = {
  readonly identifier: TableIdentifier
  readonly metadataLocation: string
  readonly metadata: TableMetadata
}

export type LoadedView = {
  readonly identifier: TableIdentifier
  readonly metadataLocation: string
  readonly metadata: ViewMetadata
}

export type TableCommit = {
  readonly identifier: TableIdentifier
  readonly requirements: readonly TableRequirement[]
  readonly updates: readonly TableUpdate[]
}

/** What a catalog can do beyond the REST specification. Of one that doesn't say, it can't. */
export type CatalogFeatures = {
  /**
   * It checks the requirement `assert-property`, and rebases a snapshot that only appends where the commit
   * doesn't assert the branch's snapshot. potok's sinks rely on it to commit beside others; whoever doesn't
   * ask here first asserts the snapshot. REST clients read it as `potok.assert-property` from `/v1/config`.
   */
  readonly assertProperty: boolean
}

export interface Catalog {
  readonly features: CatalogFeatures
  listNamespaces(parent?: Namespace): Promise<Namespace[]>
  createNamespace(
    namespace: Namespace,
    properties?: Readonly<Record<string, string>>,
  ): Promise<void>
  listTables(namespace: Namespace): Promise<TableIdentifier[]>
  /** NotFound where it doesn't exist. */
  loadTable(identifier: TableIdentifier): Promise<LoadedTable>
  createTable(request: {
    identifier: TableIdentifier
    schema: Schema
    partitionSpec?: PartitionSpec
    sortOrder?: SortOrder
    location?: string
    properties?: Readonly<Record<string, string>>
  }): Promise<LoadedTable>
  dropTable(identifier: TableIdentifier, options?: { purge?: boolean }): Promise<void>
  /** All commits or none. One table is a list of one. Gives the tables as they are after it. */
  commit(commits: readonly TableCommit[]): Promise<LoadedTable[]>
  listViews(namespace: Namespace): Promise<TableIdentifier[]>
  loadView(identifier: TableIdentifier): Promise<LoadedView>
  createView(identifier: TableIdentifier, metadata: ViewMetadata): Promise<LoadedView>
  replaceView(
    identifier: TableIdentifier,
    requirements: readonly ViewRequirement[],
    updates: readonly ViewUpdate[],
  ): Promise<LoadedView>
  dropView(identifier: TableIdentifier): Promise<void>
  /**
   * Opaque token of these tables: another one whenever one of them was changed, made or dropped since. It may
   * change for others, too; without tables it only says that the catalog answers. A cheap poll: over REST,
   * which knows no version of all tables, it asks for each whether it is as it was loaded last.
   */
  version(tables: readonly TableIdentifier[]): Promise<string>
}

const definiteKinds: ReadonlySet<ErrorKind> = new Set([
  'CommitConflict',
  'NotFound',
  'AlreadyExists',
  'InvalidInput',
  'Unsupported',
])

/** Whether a commit that failed so is certainly not in. After everything else the caller looks. */
export function isDefiniteFailure(error: unknown): boolean {
  return error instanceof PotokError && definiteKinds.has(error.kind)
}
