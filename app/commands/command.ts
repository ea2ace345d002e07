/** What a subcommand is. */
import type { Option } from 'commander'
import type { SettingName, Settings } from '../settings.ts'

export type CommandInput = {
  readonly settings: Settings
  /** Options of this command, camel case, as commander parsed them. */
  readonly options: Readonly<Record<string, unknown>>
  /** Positional arguments. */
  readonly words: readonly string[]
}

export type CommandDefinition = {
  /** Name and arguments, as commander writes them: `replay <file>`. */
  readonly usage: string
  readonly description: string
  readonly options?: readonly Option[]
  /** Settings that are flags of this command; all are variables anyway. */
  readonly settings?: readonly SettingName[]
  /** `potok NAME SUBCOMMAND`; `potok NAME` alone runs this command itself. */
  readonly subcommands?: readonly CommandDefinition[]
  /** Gives the exit code. */
  run(input: CommandInput): Promise<number>
}

/** Data for machines or people: on stdout. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Everything else: on stderr. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, v) => (typeof v === 'bigint' ? v.toString() : v), 2)
}
