/**
 * Makes docs/reference/configuration.md from the one schema of settings.
 * `node tools/settings-reference.ts`; `--check` fails where the page is stale.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { flagOf, type SettingName, settingsSchema, variableOf } from '../app/settings.ts'

const properties = z.toJSONSchema(settingsSchema, { io: 'input' }).properties ?? {}
const rows = (Object.keys(settingsSchema.shape) as SettingName[]).map((name) => {
  const property = properties[name]
  const value = typeof property === 'object' ? property.default : undefined
  const shown =
    value === '' || value === undefined
      ? ''
      : `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
  return `| \`${flagOf(name)}\` | \`${variableOf(name)}\` | ${shown} | ${settingsSchema.shape[name].description ?? ''} |`
})
const text = `# Configuration

Made from \`app/settings.ts\` by \`tools/settings-reference.ts\`. A flag wins over its variable, a variable over the default. A variable that begins with \`POTOK_\` and is no setting is an error: a misspelt setting never passes silently. \`./potok config\` prints the values in force.

| flag | variable | default | meaning |
|---|---|---|---|
${rows.join('\n')}
`
const path = join(import.meta.dirname, '..', 'docs', 'reference', 'configuration.md')
if (!process.argv.includes('--check')) writeFileSync(path, text)
else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
  console.error('docs/reference/configuration.md is stale: node tools/settings-reference.ts')
  process.exitCode = 1
}
