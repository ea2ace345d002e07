/** Simulated cameras for `demo`: some send over HTTP, as `potok simulate` does, some over MQTT, each as itself. */
import { connectAsync, type MqttClient } from 'mqtt'
import { createIntakeClient } from '../../app/commands/intake-client.ts'
import { createFleet, fleetDefaults } from '../../ingest/simulator/fleet.ts'
import { createLiveFeed } from '../../ingest/simulator/live-feed.ts'
import { systemClock } from '../fixed-ports.ts'
import { mqttCameras } from './stack-place.ts'

export type DemoCameras = {
  /** Detections and whatever else was sent and acknowledged. */
  sent(): { readonly http: number; readonly mqtt: number }
  /** Ends with the first error of a feed, or when the signal is aborted. */
  readonly running: Promise<void>
}

const httpCameras = 20
const eventsPerSecond = 5

export async function startDemoCameras(
  gatewayUrl: string,
  brokerUrl: string,
  signal: AbortSignal,
): Promise<DemoCameras> {
  const http = createIntakeClient({ baseUrl: gatewayUrl, signal })
  const mqtt = await connectCameras(brokerUrl)
  const common = { ...fleetDefaults, eventsPerSecond, outagesPerDay: 0 }
  const feeds = [
    createLiveFeed({
      fleet: createFleet({ ...common, cameras: httpCameras }),
      send: (ndjson) => http.sendNdjson(ndjson),
      clock: systemClock,
      signal,
    }),
    createLiveFeed({
      fleet: createFleet({ ...common, cameras: mqttCameras.length, idPrefix: 'MQ', seed: 2 }),
      send: (ndjson) => publish(mqtt, Buffer.from(ndjson).toString()),
      clock: systemClock,
      signal,
    }),
  ]
  async function run(): Promise<void> {
    try {
      await Promise.all(feeds.map((feed) => feed.run()))
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      await Promise.all([...mqtt.values()].map((client) => client.endAsync(true)))
    }
  }
  return {
    running: run(),
    sent: () => ({
      http: feeds[0]?.stats().sentItems ?? 0,
      mqtt: feeds[1]?.stats().sentItems ?? 0,
    }),
  }
}

async function connectCameras(brokerUrl: string): Promise<Map<string, MqttClient>> {
  const entries = mqttCameras.map(async ({ kvfvId, password }) => {
    const client = await connectAsync(brokerUrl, { username: kvfvId, password, clientId: kvfvId })
    // It connects again by itself; a message that is under way waits for that.
    client.on('error', () => undefined)
    return [kvfvId, client] as const
  })
  return new Map(await Promise.all(entries))
}

/** One message a camera with its lines, QoS 1. A line without an id could be anybody's: the first one sends it. */
async function publish(clients: ReadonlyMap<string, MqttClient>, ndjson: string): Promise<void> {
  const lines = ndjson.split('\n')
  const byCamera = Map.groupBy(lines, (line) => cameraOf(line, clients))
  await Promise.all(
    [...byCamera].map(async ([kvfvId, own]) => {
      const client = clients.get(kvfvId) as MqttClient
      await client.publishAsync(`kvfv/${kvfvId}/events`, own.join('\n'), { qos: 1 })
    }),
  )
}

function cameraOf(line: string, clients: ReadonlyMap<string, MqttClient>): string {
  const found = /"kvfv_id":"([^"]+)"/.exec(line)?.[1]
  if (found !== undefined && clients.has(found)) return found
  return clients.keys().next().value as string
}
