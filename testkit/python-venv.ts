/**
 * The Python of the outside judges (PyIceberg, DuckDB): a venv that the tests make themselves, once per content
 * of `requirements.txt` and version of Python, in the user's cache folder and not in the repository.
 *
 * As a vitest globalSetup it builds the venv beside its place and renames it there, so that runs at the same
 * time never see half of one. A missing Python or registry is a loud failure: these suites are never skipped.
 */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cachedFolder, cacheFolder } from './servers/cache.ts'

const execute = promisify(execFile)
const requirementsPath = join(import.meta.dirname, 'requirements.txt')
/** PyIceberg 0.12 asks for it. */
const pythonMinorMin = 10
const installTimeoutMs = 9 * 60_000

export async function setup(): Promise<void> {
  // A venv knows its own path, but scripts that don't use its launchers run from any: it may be renamed.
  await cachedFolder(venvName(), async (building) => {
    await step(await findPython(), ['-m', 'venv', building])
    await step(pythonIn(building), [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--no-input',
      '-r',
      requirementsPath,
    ])
  })
}

/** The venv's Python; an error where the suite did not run `setup`. */
export function pythonPath(): string {
  const path = pythonIn(venvFolder())
  if (!existsSync(path)) {
    throw new Error(`no Python at ${path}: run this suite through its vitest project`)
  }
  return path
}

/**
 * Runs a script (its text, not a path) and gives what it printed. `args` are `sys.argv[1:]`, `input` is its
 * standard input. Fails with the end of stderr where it exits with another code than 0 or takes too long.
 */
export function runPython(
  script: string,
  args: readonly string[] = [],
  input = '',
  timeoutMs = 120_000,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(pythonPath(), ['-c', script, ...args], {
      stdio: 'pipe',
      // No settings of the user's own: they could name other catalogs.
      env: { ...process.env, PYICEBERG_HOME: venvFolder(), PYTHONUTF8: '1' },
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) {
        resolve(Buffer.concat(out).toString())
        return
      }
      const tail = Buffer.concat(err).toString().slice(-4_000)
      reject(new Error(`the Python script ended with ${code ?? signal}:\n${tail}`))
    })
    // A script that ends without reading its input closes the pipe: its exit code says the rest.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

function venvName(): string {
  const hash = createHash('sha256').update(readFileSync(requirementsPath)).digest('hex')
  return `venv-${hash.slice(0, 16)}`
}

function venvFolder(): string {
  return join(cacheFolder(), venvName())
}

function pythonIn(venv: string): string {
  return process.platform === 'win32'
    ? join(venv, 'Scripts', 'python.exe')
    : join(venv, 'bin', 'python')
}

async function findPython(): Promise<string> {
  const tried: string[] = []
  for (const name of ['python3', 'python', 'python3.13', 'python3.12', 'python3.11']) {
    try {
      const { stdout } = await execute(name, [
        '-c',
        'import sys, venv; print(sys.version_info[:2])',
      ])
      const minor = Number(/\(3, (\d+)\)/.exec(stdout)?.[1] ?? -1)
      if (minor >= pythonMinorMin) return name
      tried.push(`${name}: ${stdout.trim()}`)
    } catch (error) {
      tried.push(`${name}: ${(error as Error).message.split('\n')[0]}`)
    }
  }
  throw new Error(
    `the interop tests need Python 3.${pythonMinorMin} or newer with venv (Debian: python3-venv). Tried:\n${tried.join('\n')}`,
  )
}

async function step(command: string, args: readonly string[]): Promise<void> {
  try {
    await execute(command, args, { timeout: installTimeoutMs, maxBuffer: 64 * 1024 * 1024 })
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')} failed: the tests need the registry PyPI once`, {
      cause: error,
    })
  }
}
