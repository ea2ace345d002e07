/**
 * Iceberg's own Java test suites for catalogs (`CatalogTests`, `ViewCatalogTests`; they are what its REST
 * Compatibility Kit runs) and a few tests of ours, with Iceberg's REST client over a running potok. Every test
 * must pass but for those listed here, which must be found and must not pass, so that the list can't grow old.
 */
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningPotok, startPotok, temporaryFolder } from '../../testkit/potok-process.ts'
import { mavenJars } from '../../testkit/servers/maven.ts'

const execute = promisify(execFile)
const iceberg = '1.11.0'
const sources = join(import.meta.dirname, 'java')
const suiteTimeoutMs = 15 * 60_000

/** What potok doesn't do, by name and with the reason. */
const excluded: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  PotokTableTests: {
    'createTableTransaction(int)[3]': 'tables of format v3 are read, not made',
    'testCreateTableWithDefaultColumnValue()': 'default values of columns are of format v3',
    'testLoadTableWithMissingMetadataFile(Path)':
      'metadata files never change, and potok answers from its memory when one has been taken away',
    'listTablesInEmptyNamespace()': 'tables are in a namespace, not beside them',
    'namespacePropertiesOnEmptyNamespace()': 'the empty namespace is no namespace',
    'createAndDropEmptyNamespace()': 'the empty namespace is no namespace',
    'listNamespacesWithEmptyNamespace()': 'the empty namespace is no namespace',
  },
  PotokViewTests: {
    'listViewsInEmptyNamespace()': 'views are in a namespace, not beside them',
  },
  PotokClientTests: {},
}
/** How many count: fewer would mean that the runner lost some. */
const passing: Readonly<Record<string, number>> = {
  PotokTableTests: 99,
  PotokViewTests: 50,
  PotokClientTests: 6,
}

type Outcome = 'passed' | 'failed' | 'aborted'
type Result = { readonly outcome: Outcome; readonly message: string }

const folder = temporaryFolder('java-catalog')
let potok: RunningPotok
let classPath: string

beforeAll(async () => {
  const jars = await mavenJars('iceberg-catalog-tests', [
    `org.apache.iceberg:iceberg-core:${iceberg}`,
    `org.apache.iceberg:iceberg-core:${iceberg}:tests`,
    `org.apache.iceberg:iceberg-api:${iceberg}:tests`,
    `org.apache.iceberg:iceberg-data:${iceberg}`,
    `org.apache.iceberg:iceberg-orc:${iceberg}`,
    `org.apache.iceberg:iceberg-parquet:${iceberg}`,
    'org.apache.hadoop:hadoop-client-api:3.4.2',
    'org.apache.hadoop:hadoop-client-runtime:3.4.2',
    'org.assertj:assertj-core:3.27.6',
    'org.awaitility:awaitility:4.3.0',
    'org.junit.jupiter:junit-jupiter:5.14.0',
    'org.junit.platform:junit-platform-console:1.14.0',
    'org.mockito:mockito-core:5.20.0',
    'org.slf4j:slf4j-simple:2.0.17',
  ])
  const classes = join(folder.path, 'classes')
  const files = (await readdir(sources)).map((name) => join(sources, name))
  await execute('javac', ['-cp', `${jars}/*`, '-d', classes, ...files])
  classPath = `${classes}:${jars}/*`
  potok = await startPotok(join(folder.path, 'data'), ['--recompute-schedule', 'off'])
})
afterAll(async () => {
  await potok?.kill('SIGTERM')
  folder.remove()
})

async function run(suite: string): Promise<Map<string, Result>> {
  const reports = join(folder.path, `reports-${suite}`)
  // A failed test is in the report and the exit code is 1: the report is what counts.
  await execute(
    'java',
    [
      `-Dpotok.catalog=${potok.catalogUrl}`,
      // Where the suites put what they give a location.
      `-Dpotok.folder=${potok.warehouse}/suites`,
      '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
      '-cp',
      classPath,
      'org.junit.platform.console.ConsoleLauncher',
      'execute',
      '--disable-banner',
      '--details=none',
      `--reports-dir=${reports}`,
      `--select-class=${suite}`,
    ],
    { timeout: suiteTimeoutMs, maxBuffer: 64 * 1024 * 1024 },
  ).catch((error: Error & { code?: unknown }) => {
    if (error.code !== 1) throw error
  })
  return parseReport(await readFile(join(reports, 'TEST-junit-jupiter.xml'), 'utf8'))
}

/** `<testcase name="…" …>` with `<failure message="…">`, `<error …>` or `<skipped>` in it where it didn't pass. */
function parseReport(xml: string): Map<string, Result> {
  const results = new Map<string, Result>()
  for (const [, attributes = '', body = ''] of xml.matchAll(
    /<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs,
  )) {
    const name = /\bname="([^"]*)"/.exec(attributes)?.[1] ?? ''
    const outcome: Outcome = /<(failure|error)\b/.test(body)
      ? 'failed'
      : body.includes('<skipped')
        ? 'aborted'
        : 'passed'
    results.set(name, { outcome, message: body.slice(0, 2_000) })
  }
  return results
}

describe.each(Object.keys(excluded))('%s', (suite) => {
  it(
    'pass over potok, but for what is named here',
    async () => {
      const results = await run(suite)
      const exclusions = Object.keys(excluded[suite] ?? {})
      const notPassed = [...results].filter(([, { outcome }]) => outcome !== 'passed')
      const unexpected = notPassed.filter(([name]) => !exclusions.includes(name))
      expect(Object.fromEntries(unexpected)).toEqual({})
      expect(notPassed.map(([name]) => name).sort()).toEqual([...exclusions].sort())
      expect(results.size - notPassed.length).toBe(passing[suite])
    },
    suiteTimeoutMs,
  )
})
