/**
 * The one program. Reads flags and variables, runs a command, turns errors into one clear line and an exit
 * code: 0 done, 1 failed, 2 wrong use, 3 findings (verify).
 */
import { Command, Option } from 'commander'
import { z } from 'zod'
import { describeError, isPotokError } from '../kernel/errors.ts'
import type { CommandDefinition } from './commands/command.ts'
import { commands } from './commands/commands.ts'
import { flagOf, readSettings, type SettingName, settingsSchema, variableOf } from './settings.ts'
import { potokVersion } from './version.ts'

const shared: readonly SettingName[] = [
  'data',
  'warehouse',
  's3Endpoint',
  's3Region',
  'catalogUri',
  'catalogWarehouse',
  'catalogCredential',
  'catalogToken',
  'catalogOauth2Uri',
  'catalogScope',
  'kafkaBrokers',
  'kafkaTopic',
  'kafkaTls',
  'kafkaCaFile',
  'kafkaSaslMechanism',
  'kafkaUsername',
  'logLevel',
  'json',
]

export function createProgram(setExitCode: (code: number) => void): Command {
  const program = new Command('potok')
    .description(
      'Vehicle detections of a road-camera network: kept in open Iceberg tables exactly once, averaged at once provisionally and in the end exactly.',
    )
    .version(potokVersion)
    .showHelpAfterError('(--help shows what there is)')
    .exitOverride((error) => {
      // Help and version are no errors; anything else that commander refuses is wrong use.
      setExitCode(error.exitCode === 0 ? 0 : 2)
      throw error
    })
  for (const command of commands) addCommand(program, command, setExitCode)
  return program
}

function addCommand(
  parent: Command,
  command: CommandDefinition,
  setExitCode: (code: number) => void,
): void {
  const sub = parent
    .command(command.usage)
    .description(command.description)
    .helpOption('-h, --help', 'Show this help')
  for (const option of command.options ?? []) sub.addOption(option)
  for (const name of new Set([...(command.settings ?? []), ...shared])) {
    sub.addOption(settingOption(name))
  }
  sub.addHelpText('after', '\nEvery setting is also a POTOK_* variable: ./potok config lists them.')
  for (const below of command.subcommands ?? []) addCommand(sub, below, setExitCode)
  sub.action(async (...given: unknown[]) => {
    // With those that stand before a subcommand's name.
    const parsed = sub.optsWithGlobals<Record<string, unknown>>()
    const settings = readSettings(onlySettings(parsed), process.env)
    const words = given
      .slice(0, -2)
      .flat()
      .filter((word) => typeof word === 'string')
    setExitCode(await command.run({ settings, options: parsed, words }))
  })
}

function settingOption(name: SettingName): Option {
  const schema = settingsSchema.shape[name]
  const isFlag = name === 'json'
  const option = new Option(
    isFlag ? flagOf(name) : `${flagOf(name)} <value>`,
    `${schema.description ?? ''} (${variableOf(name)}${isFlag ? '' : `, default ${defaultOf(name)}`})`,
  )
  return option
}

function defaultOf(name: SettingName): string {
  const json = z.toJSONSchema(settingsSchema, { io: 'input' })
  const property = json.properties?.[name]
  const value = typeof property === 'object' ? property.default : undefined
  return value === '' || value === undefined ? 'none' : JSON.stringify(value)
}

function onlySettings(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).filter(([name]) => Object.hasOwn(settingsSchema.shape, name)),
  )
}

async function main(): Promise<void> {
  let exitCode = 0
  try {
    await createProgram((code) => {
      exitCode = code
    }).parseAsync(process.argv)
  } catch (error) {
    if (!isCommanderError(error)) {
      exitCode = isPotokError(error, 'InvalidInput') || isPotokError(error, 'Unsupported') ? 2 : 1
      process.stderr.write(`potok: ${describeError(error)}\n`)
      if (!isPotokError(error) && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    }
  }
  // Native libraries may hold the loop open; everything that counts has been awaited.
  process.exit(exitCode)
}

function isCommanderError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('commander.')
}

if (import.meta.main) await main()
