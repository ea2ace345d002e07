/**
 * One role in a process of its own, on the same data folder as others: they meet in the log and in the
 * tables, and share nothing else. Each serves health and metrics on --port.
 */
import { PotokError } from '../../kernel/errors.ts'
import { createEmbedded, type Part } from '../embedded.ts'
import { openInstallation } from '../installation.ts'
import type { SettingName } from '../settings.ts'
import { waitForStopSignal } from '../stop-signal.ts'
import { catalogReadCommand } from './catalog-read.ts'
import { catalogRepairCommand } from './catalog-repair.ts'
import { catalogTablesCommand } from './catalog-tables.ts'
import { type CommandDefinition, print, toJson } from './command.ts'

const stopDeadlineMs = 20_000

function roleCommand(
  name: string,
  parts: readonly Part[],
  description: string,
  settingNames: readonly SettingName[],
  subcommands: readonly CommandDefinition[] = [],
): CommandDefinition {
  return {
    usage: name,
    description,
    subcommands,
    settings: ['host', 'port', ...settingNames],
    run: async ({ settings }) => {
      if (name === 'catalog' && settings.catalogUri !== '') {
        throw new PotokError(
          'InvalidInput',
          'potok catalog serves the catalog of its own: it takes no --catalog-uri (POTOK_CATALOG_URI)',
        )
      }
      const installation = openInstallation(settings, name)
      const stop = waitForStopSignal()
      const role = createEmbedded(installation, { parts, probes: true, onDeath: stop.fail })
      try {
        await role.start()
        const where = { role: name, url: role.url(), catalog: role.catalogUrl(), pid: process.pid }
        print(
          settings.json
            ? toJson(where)
            : `potok ${name} is up: ${role.catalogUrl() ?? ''} ${role.url() ?? ''}/readyz; Ctrl-C stops it.`,
        )
        await stop.signalled
      } finally {
        await role.stop(stopDeadlineMs)
      }
      return stop.exitCode()
    },
  }
}

export const roleCommands: readonly CommandDefinition[] = [
  roleCommand('gateway', ['gateway'], 'Only the HTTP intake', [
    'platePolicy',
    'intakeMapping',
    'logPartitions',
  ]),
  roleCommand('mqtt', ['mqtt'], 'Only the MQTT intake: a shared subscription on a broker', [
    'mqttUrl',
    'mqttUsername',
    'mqttPassword',
    'mqttCaFile',
    'mqttClientId',
    'mqttShare',
    'platePolicy',
    'intakeMapping',
    'logPartitions',
  ]),
  roleCommand('writer', ['writer'], 'Only the writer of events and rejected_events', [
    'logPartitions',
    'lagAgeMaxSeconds',
  ]),
  roleCommand('rollups', ['rollups'], 'Only the stream of provisional rollups', [
    'logPartitions',
    'allowedLatenessMinutes',
    'lagAgeMaxSeconds',
  ]),
  roleCommand(
    'catalog',
    ['catalog'],
    'Only the Iceberg REST catalog; with a subcommand: look into the tables, or repair it',
    ['catalogPort'],
    [catalogTablesCommand, catalogReadCommand, catalogRepairCommand],
  ),
  roleCommand(
    'api',
    ['api', 'recompute'],
    'Only the API and the dashboard, with the exact job and its schedule',
    ['allowedLatenessMinutes', 'recomputeSchedule', 'redisUrl'],
  ),
]
