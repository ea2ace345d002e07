/**
 * What `npm run stack` keeps in its folder: which servers it started, on which ports, and `env` for shells.
 * Written at every change, each file whole, so that a killed `up` leaves nothing that `down` doesn't know of.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

const stateSchema = z.object({
  ports: z.record(z.string(), z.number().int()),
  servers: z.record(z.string(), z.object({ pid: z.number().int(), identity: z.string() })),
})

export type StackState = z.infer<typeof stateSchema>

export function readState(folder: string): StackState {
  const file = stateFile(folder)
  if (!existsSync(file)) return { ports: {}, servers: {} }
  const result = stateSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')))
  if (!result.success) throw new Error(`${file} is not what npm run stack writes`)
  return result.data
}

export function writeState(folder: string, state: StackState): void {
  mkdirSync(folder, { recursive: true })
  writeWhole(stateFile(folder), `${JSON.stringify(state, null, 2)}\n`)
}

export function envFile(folder: string): string {
  return join(folder, 'env')
}

/** For `set -a; . .stack/env`. */
export function writeEnv(folder: string, env: Readonly<Record<string, string>>): void {
  const lines = Object.entries(env).map(([name, value]) => `${name}=${shellWord(value)}\n`)
  writeWhole(envFile(folder), lines.join(''))
}

export function removeEnv(folder: string): void {
  rmSync(envFile(folder), { force: true })
}

function stateFile(folder: string): string {
  return join(folder, 'state.json')
}

/** Only its owner reads it: `env` holds keys. */
function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

export function shellWord(value: string): string {
  if (/^[\w@%+=:,./-]+$/.test(value)) return value
  return `'${value.replaceAll("'", `'\\''`)}'`
}
