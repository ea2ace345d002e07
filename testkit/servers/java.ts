/** A Java that is new enough: the machine's default one may be older than one that is installed beside it. */
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const installFolders = ['/usr/lib/jvm', '/opt/java', '/Library/Java/JavaVirtualMachines']

/** The path of the oldest `java` of at least this major version; an error that names what was tried. */
export async function findJava(majorMin: number): Promise<string> {
  const tried: string[] = []
  const fit: { path: string; major: number }[] = []
  for (const path of await candidates()) {
    try {
      // To stderr, as ever: openjdk version "17.0.15" 2025-04-15
      const { stderr } = await execute(path, ['-version'])
      const major = Number(/version "(\d+)/.exec(stderr)?.[1] ?? -1)
      tried.push(`${path}: ${major}`)
      if (major >= majorMin) fit.push({ path, major })
    } catch (error) {
      tried.push(`${path}: ${(error as Error).message.split('\n')[0]}`)
    }
  }
  const [best] = fit.toSorted((a, b) => a.major - b.major)
  if (best === undefined) {
    throw new Error(
      `Java ${majorMin} or newer is needed (JAVA_HOME, PATH, or below ${installFolders.join(', ')}). Tried:\n${tried.join('\n')}`,
    )
  }
  return best.path
}

async function candidates(): Promise<string[]> {
  const homes: string[] = []
  const own = process.env['JAVA_HOME']
  if (own !== undefined && own !== '') homes.push(own)
  for (const folder of installFolders) {
    const names = await readdir(folder).catch(() => [])
    homes.push(
      ...names.flatMap((name) => [join(folder, name), join(folder, name, 'Contents/Home')]),
    )
  }
  return [...homes.map((home) => join(home, 'bin', 'java')), 'java']
}
