/**
 * Parquet files of one layout and one partition spec as something that SQL can select from: `r` is their rows,
 * with the columns renamed to `c0`, `c1`, … (names in files may clash with each other and with DuckDB's virtual
 * columns `file_index` and `file_row_number`); `f` is what is known of each file beside its rows.
 *
 * Columns that a file lacks have the value of an identity partition where its spec has one. In a file without
 * field ids that value goes before the column that a name mapping finds (spec, "Column Projection").
 */
import type { NameMapping } from '../../iceberg/scan/name-mapping.ts'
import type { DataFile } from '../../iceberg/spec/data-file.ts'
import { fieldById, partitionSpecById } from '../../iceberg/spec/schema.ts'
import type { IcebergType, Schema, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { PotokError } from '../../kernel/errors.ts'
import { type FileColumns, sqlTypeOf } from './column-expression.ts'
import { sqlLiteral } from './filter-sql.ts'
import type { FileGroup } from './group-files.ts'
import { sqlParquet } from './instance.ts'
import { hasFieldIds, type ParquetNode, withMappedIds } from './parquet-layout.ts'

export type SourceFile = {
  readonly dataFile: DataFile
  /** On the local disk. */
  readonly path: string
  /** Columns that `f` has of it: SQL by name. All files of a source have the same ones. */
  readonly facts: Readonly<Record<string, string>>
}

export type ScanSource = {
  readonly files: readonly SourceFile[]
  readonly columns: FileColumns
  /** What follows FROM. */
  readonly sql: string
}

export type SourceContext = {
  readonly metadata: TableMetadata
  readonly schema: Schema
  readonly mapping: NameMapping | null
}

export function scanSources(
  context: SourceContext,
  groups: readonly FileGroup[],
  files: readonly SourceFile[],
): ScanSource[] {
  return groups.flatMap(({ columns, members }) => {
    const bySpec = Map.groupBy(
      members.map((member) => files[member] as SourceFile),
      ({ dataFile }) => dataFile.specId,
    )
    return [...bySpec].map(([specId, ofSpec]) => sourceOf(context, columns, specId, ofSpec))
  })
}

function sourceOf(
  context: SourceContext,
  layout: readonly ParquetNode[],
  specId: number,
  files: readonly SourceFile[],
): ScanSource {
  const file = (files[0] as SourceFile).dataFile.filePath
  const hasIds = hasFieldIds(layout)
  const named = hasIds ? layout : mappedLayout(context, layout, file)
  const present = hasIds ? idsOf(layout) : new Set<number>()
  const identities = identityFields(context, specId).filter(({ id }) => !present.has(id))
  const constant = new Map(identities.map(({ id }) => [id, `f.k${id}`]))
  const fields = named.map((node) =>
    node.id !== null && constant.has(node.id) ? { ...node, id: null } : node,
  )
  const rows = files.map(({ dataFile, facts }, index) => {
    const values = identities.map(({ at, type }) => {
      const value = dataFile.partition[at] ?? null
      return value === null ? `CAST(NULL AS ${sqlTypeOf(type)})` : sqlLiteral(type, value)
    })
    return `(${[String(index), ...Object.values(facts), ...values].join(', ')})`
  })
  const names = [
    ...Object.keys((files[0] as SourceFile).facts),
    ...identities.map(({ id }) => `k${id}`),
  ]
  const aliases = layout.map((_, i) => `c${i}`).join(', ')
  const source = `${sqlParquet(files.map(({ path }) => path))} AS r(${aliases})`
  const joined = `${source}
    JOIN (VALUES ${rows.join(', ')}) AS f(${['file', ...names].join(', ')}) ON f.file = r.file_index`
  return {
    files,
    columns: { fields, access: (index) => `r.c${index}`, constants: constant, file },
    sql: names.length === 0 ? source : joined,
  }
}

function mappedLayout(
  { metadata, mapping }: SourceContext,
  layout: readonly ParquetNode[],
  file: string,
): ParquetNode[] {
  if (mapping === null) {
    throw new PotokError(
      'Unsupported',
      `${file} has no field ids, and the table no schema.name-mapping.default: which column is which would be a guess`,
      { context: { file, location: metadata.location } },
    )
  }
  return withMappedIds(layout, mapping)
}

function idsOf(nodes: readonly ParquetNode[]): Set<number> {
  const ids = new Set<number>()
  const visit = (node: ParquetNode) => {
    if (node.id !== null) ids.add(node.id)
    if (node.kind === 'struct') node.fields.forEach(visit)
  }
  nodes.forEach(visit)
  return ids
}

type IdentityField = { readonly id: number; readonly at: number; readonly type: IcebergType }

function identityFields({ metadata, schema }: SourceContext, specId: number): IdentityField[] {
  const spec = partitionSpecById(metadata, specId)
  return spec.fields.flatMap(({ sourceId, transform }, at) => {
    if (transform !== 'identity') return []
    const field = fieldById(schema, sourceId)
    return field === null ? [] : [{ id: sourceId, at, type: field.type }]
  })
}
