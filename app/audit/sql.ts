/** Small helpers to ask DuckDB about Parquet files. */
import { sqlPaths } from '../../adapters/duckdb/instance.ts'

export type SqlRunner = {
  rows(sql: string): Promise<Record<string, unknown>[]>
}

export function fileList(paths: readonly string[], option = ''): string {
  const options = option === '' ? '' : `, ${option}`
  return `read_parquet(${sqlPaths(paths)}, union_by_name = true${options})`
}
