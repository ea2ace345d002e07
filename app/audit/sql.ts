/** Small helpers to ask DuckDB about Parquet files. */
export type SqlRunner = {
  rows(sql: string): Promise<Record<string, unknown>[]>
}

export function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

export function fileList(paths: readonly string[], option = ''): string {
  const options = option === '' ? '' : `, ${option}`
  return `read_parquet([${paths.map(quote).join(', ')}], union_by_name = true${options})`
}
