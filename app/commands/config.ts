/** `potok config`: every setting with its value here, flag, variable and meaning. */
import {
  flagOf,
  secretSettings,
  type SettingName,
  settingsSchema,
  variableOf,
} from '../settings.ts'
import { type CommandDefinition, print, toJson } from './command.ts'

export const configCommand: CommandDefinition = {
  usage: 'config',
  description: 'Print every setting: value here, flag, variable, meaning',
  run: async ({ settings }) => {
    const rows = (Object.keys(settingsSchema.shape) as SettingName[]).map((name) => ({
      setting: name,
      value: secretSettings.has(name) && settings[name] !== '' ? '(set)' : settings[name],
      flag: flagOf(name),
      variable: variableOf(name),
      meaning: settingsSchema.shape[name].description ?? '',
    }))
    if (settings.json) print(toJson(rows))
    else {
      for (const row of rows) {
        print(`${row.flag} = ${String(row.value)}\n    ${row.variable}: ${row.meaning}`)
      }
    }
    return 0
  },
}
