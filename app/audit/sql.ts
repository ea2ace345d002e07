/** Small helpers to ask DuckDB about Parquet files. */
import { sqlParquet } from '../../adapters/duckdb/instance.ts'

export type SqlRunner = {
  rows(sql: string): Promise<Record<string, unknown>[]>
}

export function fileList(paths: readonly string[], ...options: readonly string[]): string {
  return sqlParquet(paths, 'union_by_name = true', ...options)
}
