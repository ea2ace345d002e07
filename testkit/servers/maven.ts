/** Java programs for the stack suite, from Maven Central by the `mvn` of the machine; kept in the cache. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cachedFolder } from './cache.ts'

const execute = promisify(execFile)
const downloadTimeoutMs = 20 * 60_000

/** `group:artifact:version` or, with a classifier, `group:artifact:version:classifier`. */
export type Coordinates = string

/** A folder with the jars of the artifacts and all that these need at run time. `name` is for people. */
export async function mavenJars(name: string, artifacts: readonly Coordinates[]): Promise<string> {
  const hash = createHash('sha256').update(artifacts.join('\n')).digest('hex').slice(0, 12)
  return await cachedFolder(`${name}-jars-${hash}`, async (folder) => {
    const pom = join(folder, 'pom.xml')
    await writeFile(pom, pomOf(artifacts))
    await maven([
      '-f',
      pom,
      'dependency:copy-dependencies',
      '-DincludeScope=runtime',
      `-DoutputDirectory=${folder}`,
    ])
    const jars = (await readdir(folder)).filter((file) => file.endsWith('.jar'))
    if (jars.length < artifacts.length) throw new Error(`${name}: Maven gave ${jars.length} jars`)
  })
}

/** One file that is no jar, say `io.trino:trino-server:476:tar.gz`, alone in a folder of its own; its path. */
export async function mavenFile(coordinates: string): Promise<string> {
  const [group, artifact, version, type] = coordinates.split(':')
  const file = `${artifact}-${version}.${type}`
  const folder = await cachedFolder(`maven-${file}`, async (building) => {
    await maven([
      'dependency:copy',
      `-Dartifact=${group}:${artifact}:${version}:${type}`,
      `-DoutputDirectory=${building}`,
    ])
    const [found] = await readdir(building)
    if (found === undefined) throw new Error(`Maven gave no ${coordinates}`)
    if (found !== file) await rename(join(building, found), join(building, file))
  })
  return join(folder, file)
}

async function maven(args: readonly string[]): Promise<void> {
  try {
    await execute('mvn', ['--batch-mode', '--quiet', ...args], {
      timeout: downloadTimeoutMs,
      maxBuffer: 64 * 1024 * 1024,
    })
  } catch (error) {
    throw new Error(
      `mvn ${args.join(' ')} failed: the stack suite needs Maven (Debian: maven) and Maven Central once`,
      { cause: error },
    )
  }
}

function pomOf(artifacts: readonly Coordinates[]): string {
  const dependencies = artifacts.map((coordinates) => {
    const [groupId, artifactId, version, classifier] = coordinates.split(':')
    const more = classifier === undefined ? '' : `<classifier>${classifier}</classifier>`
    return `<dependency><groupId>${groupId}</groupId><artifactId>${artifactId}</artifactId><version>${version}</version>${more}</dependency>`
  })
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>potok</groupId><artifactId>test-servers</artifactId><version>1</version>
<dependencies>${dependencies.join('\n')}</dependencies></project>
`
}
