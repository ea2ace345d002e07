/**
 * Cameras that publish with QoS 1 as real ones do: what is not acknowledged is sent again, over the next
 * connection too, with the same `event_id`. They remember what was acknowledged, to be held against the tables.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type MqttClient } from 'mqtt'

export type MqttCamera = {
  /** `event_id` of each event whose message was acknowledged. */
  readonly acknowledged: ReadonlySet<string>
  /** Publishes until it is told to stop, and then until everything is acknowledged. */
  run(): Promise<void>
  finish(): void
  close(): Promise<void>
}

/** So that a machine that is busy with other suites keeps up: at most 200 a second each. */
const inFlightMax = 20
const pauseMs = 100

export function createMqttCamera(
  url: string,
  kvfvId: string,
  login: { username?: string; password?: string },
  series = 'first',
): MqttCamera {
  const acknowledged = new Set<string>()
  let serial = 0
  const stop = new AbortController()
  const client: MqttClient = connect(url, {
    clientId: `camera-${kvfvId}-${series}`,
    clean: true,
    reconnectPeriod: 200,
    reconnectOnConnackError: true,
    connectTimeout: 5_000,
    ...login,
  })
  client.on('error', () => undefined)

  async function publishOne(): Promise<void> {
    serial++
    const eventId = `${kvfvId}-${series}-${serial}`
    const event = {
      timestamp: new Date(Date.UTC(2025, 3, 5, 10) + serial * 100).toISOString(),
      vehicle_speed: 20 + (serial % 80),
      event_id: eventId,
    }
    // mqtt.js keeps it until it is acknowledged, and sends it again after each reconnect.
    await client.publishAsync(`kvfv/${kvfvId}/events`, JSON.stringify(event), { qos: 1 })
    acknowledged.add(eventId)
  }

  return {
    acknowledged,
    async run() {
      while (!stop.signal.aborted) {
        await Promise.all(Array.from({ length: inFlightMax }, () => publishOne()))
        await sleep(pauseMs)
      }
    },
    finish() {
      stop.abort()
    },
    close: () => client.endAsync(true),
  }
}
