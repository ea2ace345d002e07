/** What a table looks like through a REST catalog while somebody writes it: rows, files, snapshots. */

export type TableProgress = {
  readonly rows: number
  readonly dataFiles: number
  /** Those that are still listed. */
  readonly snapshots: readonly { readonly atMs: number; readonly rows: number }[]
  readonly commits: number
}

type Metadata = {
  readonly metadata: {
    readonly 'last-sequence-number': number
    readonly 'current-snapshot-id'?: number
    readonly snapshots?: readonly {
      readonly 'timestamp-ms': number
      readonly 'sequence-number': number
      readonly summary: Readonly<Record<string, string>>
    }[]
  }
}

export async function createTable(
  catalogUri: string,
  namespace: string,
  table: Readonly<Record<string, unknown>>,
): Promise<void> {
  await post(`${catalogUri}/v1/namespaces`, { namespace: [namespace] }, [200, 409])
  await post(`${catalogUri}/v1/namespaces/${namespace}/tables`, table, [200])
}

export async function tableProgress(
  catalogUri: string,
  namespace: string,
  name: string,
): Promise<TableProgress> {
  const response = await fetch(`${catalogUri}/v1/namespaces/${namespace}/tables/${name}`)
  if (response.status === 404) return { rows: 0, dataFiles: 0, snapshots: [], commits: 0 }
  if (!response.ok) throw new Error(`${name}: ${response.status} ${await response.text()}`)
  const { metadata } = (await response.json()) as Metadata
  const snapshots = [...(metadata.snapshots ?? [])].sort(
    (a, b) => a['sequence-number'] - b['sequence-number'],
  )
  const total = (summary: Readonly<Record<string, string>> | undefined, key: string) =>
    Number(summary?.[key] ?? 0)
  const last = snapshots.at(-1)?.summary
  return {
    rows: total(last, 'total-records'),
    dataFiles: total(last, 'total-data-files'),
    snapshots: snapshots.map(({ 'timestamp-ms': atMs, summary }) => ({
      atMs,
      rows: total(summary, 'total-records'),
    })),
    commits: metadata['last-sequence-number'],
  }
}

async function post(url: string, body: unknown, statuses: readonly number[]): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  if (!statuses.includes(response.status)) throw new Error(`${url}: ${response.status} ${text}`)
}
