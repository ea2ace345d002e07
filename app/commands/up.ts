/** `potok up`: everything in one process on one folder, until it is asked to stop. */
import { acquireDataLock } from '../data-lock.ts'
import { allParts, createEmbedded, type Embedded } from '../embedded.ts'
import { type Installation, openInstallation } from '../installation.ts'
import { startLiveCameras } from '../live-cameras.ts'
import { waitForStopSignal } from '../stop-signal.ts'
import { type CommandDefinition, print, toJson } from './command.ts'

/** How long a stop may take: requests under way, one last commit of each sink. */
const stopDeadlineMs = 20_000

export const upCommand: CommandDefinition = {
  usage: 'up',
  description: 'Run all of potok in this process: intake, log, tables, averages, API, dashboard',
  settings: [
    'host',
    'port',
    'catalogPort',
    'mqttPort',
    'mqttUsersFile',
    'cameras',
    'logPartitions',
    'platePolicy',
    'intakeMapping',
    'allowedLatenessMinutes',
    'recomputeSchedule',
    'redisUrl',
  ],
  run: async ({ settings }) => {
    const installation = openInstallation(settings, 'up')
    const lock = acquireDataLock(installation.data)
    const stop = waitForStopSignal()
    const embedded = createEmbedded(installation, {
      parts: allParts,
      probes: true,
      onDeath: stop.fail,
    })
    try {
      await embedded.start()
      lock.announce({
        pid: process.pid,
        startedAt: new Date().toISOString(),
        url: embedded.url(),
        catalogUrl: embedded.catalogUrl(),
      })
      const cameras = startLiveCameras(installation, embedded, settings.cameras)
      print(
        settings.json ? toJson(banner(embedded, installation)) : bannerText(embedded, installation),
      )
      await stop.signalled
      if (!settings.json) print('potok is stopping …')
      await cameras.stop()
      await embedded.stop(stopDeadlineMs)
      if (!settings.json) print('potok has stopped; everything acknowledged is kept.')
    } finally {
      await embedded.stop(stopDeadlineMs)
      lock.release()
    }
    return stop.exitCode()
  },
}

function banner(embedded: Embedded, { warehouse, data }: { warehouse: string; data: string }) {
  return {
    dashboard: `${embedded.url()}/`,
    api: embedded.url(),
    intake: `${embedded.url()}/v1/events`,
    mqtt: embedded.mqttUrl(),
    catalog: embedded.catalogUrl(),
    data,
    warehouse,
    pid: process.pid,
  }
}

function bannerText(embedded: Embedded, installation: Installation): string {
  const b = banner(embedded, installation)
  return [
    'potok is up:',
    `  dashboard  ${b.dashboard}`,
    `  API        ${b.api}/openapi.json`,
    `  intake     POST ${b.intake}`,
    `  MQTT       ${b.mqtt === null ? 'off' : `${b.mqtt}, kvfv/<kvfv_id>/events`}`,
    `  catalog    ${b.catalog} (Iceberg REST${installation.catalogAccess.uri === null ? '' : ', not served by this potok'})`,
    `  data       ${b.data}`,
    'Ctrl-C stops it.',
  ].join('\n')
}
