/**
 * docker-compose.yml as the tests read it: anchors and merges resolved, variables replaced by their defaults, so
 * that its promises can be held without a Docker (which the build machines don't have).
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import { parse } from 'yaml'

export type ComposeService = {
  readonly image?: string
  readonly build?: string
  readonly command?: readonly string[]
  readonly entrypoint?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
  readonly restart?: string
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean }
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
}

export type ComposeFile = {
  readonly services: Readonly<Record<string, ComposeService>>
  readonly volumes: Readonly<Record<string, unknown>>
}

const root = join(import.meta.dirname, '..')

/** As a `docker compose` with no variable set has it. */
export function readComposeFile(): ComposeFile {
  const text = readFileSync(join(root, 'docker-compose.yml'), 'utf8')
  return parse(text, { merge: true, reviver: (_key, value) => withDefaults(value) }) as ComposeFile
}

/** `${NAME:-default}` becomes its default, `$$` a dollar; one without a default is an error. */
function withDefaults(text: unknown): unknown {
  if (typeof text !== 'string') return text
  return text.replaceAll(/\$(?:\$|\{(\w+):-([^}]*)\}|\{?(\w+))/g, (whole, name, standard, bare) => {
    if (whole === '$$') return '$'
    if (name !== undefined) return standard as string
    throw new Error(`docker-compose.yml: the variable ${bare} has no default`)
  })
}

/** What is wrong by the schema of the Compose specification (as the package dclint brings it); empty: nothing. */
export function schemaProblems(compose: unknown): string[] {
  const path = join(root, 'node_modules/dclint/schemas/compose.schema.json')
  const { $schema: _, ...schema } = JSON.parse(readFileSync(path, 'utf8')) as Record<
    string,
    unknown
  >
  const validate = new Ajv({ strict: false, allErrors: true }).compile(schema)
  validate(compose)
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}
