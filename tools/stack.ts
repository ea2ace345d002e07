/** `npm run stack -- up | status | down | demo`: the real servers beside potok, natively, for as long as wanted. */
import { join, resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { runDemo } from '../testkit/stack/stack-demo.ts'
import { startStack, stackStatus, stopStack } from '../testkit/stack/stack.ts'
import { type ServerName, serverNames } from '../testkit/stack/stack-servers.ts'
import { envFile } from '../testkit/stack/stack-state.ts'

const defaultFolder = join(import.meta.dirname, '..', '.stack')

function serverList(text: string): ServerName[] {
  return text.split(',').map((name) => {
    const found = serverNames.find((one) => one === name.trim())
    if (found === undefined) {
      throw new InvalidArgumentError(`the servers are ${serverNames.join(', ')}`)
    }
    return found
  })
}

/** Of the second argument that commander gives nothing is to be known here. */
function absolute(path: string): string {
  return resolve(path)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Aborts at the first Ctrl-C; a second one ends the command at once. */
async function untilInterrupted<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController()
  const onInterrupt = (): void => abort.abort()
  process.once('SIGINT', onInterrupt)
  process.once('SIGTERM', onInterrupt)
  try {
    return await run(abort.signal)
  } finally {
    process.removeListener('SIGINT', onInterrupt)
    process.removeListener('SIGTERM', onInterrupt)
  }
}

async function up(folder: string, names: readonly ServerName[]): Promise<void> {
  await untilInterrupted((signal) => startStack(folder, names, say, signal))
  const file = envFile(folder)
  say(`Addresses and settings are in ${file}; for a shell: set -a; . ${file}; set +a`)
}

async function demo(folder: string, names: readonly ServerName[], seconds?: number): Promise<void> {
  for (const needed of ['kafka', 'minio', 'mosquitto'] as const) {
    if (!names.includes(needed)) throw new Error(`the demo needs ${needed}`)
  }
  await untilInterrupted(async (signal) => {
    const place = await startStack(folder, names, say, signal)
    await runDemo(place, seconds ?? null, say, signal)
  })
}

async function status(folder: string, json: boolean): Promise<void> {
  const servers = await stackStatus(folder)
  if (json) say(JSON.stringify(servers, null, 2))
  else if (servers.length === 0) say('Nothing is up: npm run stack -- up')
  else {
    for (const one of servers) {
      const where = one.state === 'up' ? `pid ${one.pid}` : `its log: ${one.logFile}`
      say(`${one.name.padEnd(11)} ${one.state.padEnd(10)} ${one.address.padEnd(26)} ${where}`)
    }
  }
  const fine = servers.length > 0 && servers.every((one) => one.state === 'up')
  process.exitCode = fine ? 0 : 1
}

type Options = {
  readonly folder: string
  readonly only?: readonly ServerName[]
  readonly without?: readonly ServerName[]
  readonly data?: true
  readonly json?: true
  readonly seconds?: number
}

function chosen({ only, without }: Options): ServerName[] {
  return (only ?? serverNames).filter((name) => without?.includes(name) !== true)
}

const program = new Command('npm run stack --')
  .description('Kafka, MinIO, Trino, Mosquitto, Redis and Prometheus on this machine, for potok')
  .option('--folder <folder>', 'What it keeps: addresses, logs, data', absolute, defaultFolder)
program
  .command('up')
  .description('Start what is not up; it stays when this command ends')
  .option('--only <names>', 'These servers alone, comma-separated', serverList)
  .option('--without <names>', 'All but these', serverList)
  .action(async (_, command: Command) => {
    const options = command.optsWithGlobals<Options>()
    await up(options.folder, chosen(options))
  })
program
  .command('demo')
  .description('Start what is not up, and every role of potok on it, fed by simulated cameras')
  .option('--only <names>', 'With these servers alone, comma-separated', serverList)
  .option('--without <names>', 'With all but these', serverList)
  .option('--seconds <n>', 'End by itself when it has been fed for this long', Number)
  .action(async (_, command: Command) => {
    const options = command.optsWithGlobals<Options>()
    await demo(options.folder, chosen(options), options.seconds)
  })
program
  .command('status')
  .description('What is up and answers; exit code 1 where something does not')
  .option('--json', 'As JSON')
  .action(async (_, command: Command) => {
    const options = command.optsWithGlobals<Options>()
    await status(options.folder, options.json === true)
  })
program
  .command('down')
  .description('Stop what up has started; data and ports are kept for the next time')
  .option('--data', 'Remove the data, too')
  .action(async (_, command: Command) => {
    const options = command.optsWithGlobals<Options>()
    await stopStack(options.folder, options.data === true, say)
  })

try {
  await program.parseAsync()
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
