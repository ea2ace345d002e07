/**
 * Iceberg's own REST catalog (Java, over SQLite in memory) with a folder for its tables: what the reference
 * implementation makes of our requests. Its `transactions/commit` is not atomic.
 */
import { mavenJars } from './maven.ts'
import { freePort, startServer } from './server-process.ts'

const icebergVersion = '1.11.0'
const jettyVersion = '12.1.5'

/** The server is a test fixture: what it needs to run is not declared and listed here by hand. */
const artifacts = [
  `org.apache.iceberg:iceberg-open-api:${icebergVersion}:test-fixtures`,
  `org.apache.iceberg:iceberg-core:${icebergVersion}`,
  `org.apache.iceberg:iceberg-core:${icebergVersion}:tests`,
  'org.apache.hadoop:hadoop-client-api:3.4.2',
  'org.apache.hadoop:hadoop-client-runtime:3.4.2',
  `org.eclipse.jetty.ee10:jetty-ee10-servlet:${jettyVersion}`,
  `org.eclipse.jetty.compression:jetty-compression-server:${jettyVersion}`,
  `org.eclipse.jetty.compression:jetty-compression-gzip:${jettyVersion}`,
  'org.xerial:sqlite-jdbc:3.51.1.0',
  'org.slf4j:slf4j-simple:2.0.17',
]

export type ReferenceCatalog = {
  readonly uri: string
  /** Drops every view, table and namespace. */
  clear(): Promise<void>
  log(): string
  stop(): Promise<void>
}

export async function startReferenceCatalog(warehouse: string): Promise<ReferenceCatalog> {
  const jars = await mavenJars('reference-catalog', artifacts)
  const port = await freePort()
  const uri = `http://127.0.0.1:${port}`
  const server = await startServer({
    name: "Iceberg's reference catalog",
    command: 'java',
    args: ['-Xmx512m', '-cp', `${jars}/*`, 'org.apache.iceberg.rest.RESTCatalogServer'],
    env: {
      CATALOG_REST_PORT: String(port),
      CATALOG_WAREHOUSE: warehouse,
      CATALOG_URI: 'jdbc:sqlite::memory:',
      CATALOG_JDBC_SCHEMA__VERSION: 'V1',
      // Each connection to SQLite in memory is a database of its own.
      CATALOG_CLIENTS: '1',
    },
    isReady: async () => (await fetch(`${uri}/v1/config`)).ok,
  })
  return { uri, clear: () => clear(uri), log: () => server.log(), stop: () => server.stop() }
}

async function clear(uri: string): Promise<void> {
  /** A namespace that is there only by what is in it goes with the last of that. */
  const list = async <T>(path: string, key: string): Promise<T[]> => {
    const answer = await fetch(`${uri}/v1/${path}`)
    return ((await answer.json()) as Record<string, T[]>)[key] ?? []
  }
  const drop = async (path: string): Promise<void> => {
    const { status } = await fetch(`${uri}/v1/${path}`, { method: 'DELETE' })
    if (status >= 300 && status !== 404)
      throw new Error(`the reference catalog did not drop ${path}: ${status}`)
  }
  async function clearBelow(parent: readonly string[]): Promise<void> {
    const query = parent.length === 0 ? '' : `?parent=${encodeURIComponent(parent.join('.'))}`
    for (const levels of await list<string[]>(`namespaces${query}`, 'namespaces')) {
      await clearBelow(levels)
      const path = `namespaces/${levels.map(encodeURIComponent).join('%2E')}`
      for (const kind of ['views', 'tables']) {
        const listed = await list<{ name: string }>(`${path}/${kind}`, 'identifiers')
        for (const { name } of listed) await drop(`${path}/${kind}/${encodeURIComponent(name)}`)
      }
      await drop(path)
    }
  }
  await clearBelow([])
}
