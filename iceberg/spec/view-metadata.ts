/** View metadata (Iceberg view specification, format v1) and its updates. */
import type { Schema } from './table-metadata.ts'

export type ViewRepresentation = {
  readonly type: 'sql'
  readonly sql: string
  readonly dialect: string
}

export type ViewVersion = {
  readonly versionId: number
  readonly schemaId: number
  readonly timestampMs: number
  readonly summary: Readonly<Record<string, string>>
  readonly representations: readonly ViewRepresentation[]
  readonly defaultCatalog?: string
  readonly defaultNamespace: readonly string[]
}

export type ViewMetadata = {
  readonly viewUuid: string
  readonly formatVersion: number
  readonly location: string
  readonly schemas: readonly Schema[]
  readonly currentVersionId: number
  readonly versions: readonly ViewVersion[]
  readonly versionLog: readonly { readonly timestampMs: number; readonly versionId: number }[]
  readonly properties: Readonly<Record<string, string>>
}

export type ViewRequirement = { readonly type: 'assert-view-uuid'; readonly uuid: string }

export type ViewUpdate =
  | { readonly action: 'assign-uuid'; readonly uuid: string }
  | { readonly action: 'upgrade-format-version'; readonly formatVersion: number }
  | { readonly action: 'add-schema'; readonly schema: Schema; readonly lastColumnId?: number }
  | { readonly action: 'set-location'; readonly location: string }
  | { readonly action: 'set-properties'; readonly updates: Readonly<Record<string, string>> }
  | { readonly action: 'remove-properties'; readonly removals: readonly string[] }
  | { readonly action: 'add-view-version'; readonly viewVersion: ViewVersion }
  | { readonly action: 'set-current-view-version'; readonly viewVersionId: number }
