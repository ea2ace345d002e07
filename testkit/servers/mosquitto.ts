/** Mosquitto for the stack suite: Debian's, started as in every deployment, by `deploy/mosquitto/start.sh`. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { freePort, type ServerPlan, type ServerProcess, startServer } from './server-process.ts'
import { findSystemProgram, serverPath } from './system-program.ts'

const startScript = join(import.meta.dirname, '..', '..', 'deploy', 'mosquitto', 'start.sh')

export type Mosquitto = {
  readonly url: string
  readonly port: number
  /** Of the user `potok`, who reads everything. */
  readonly password: string
  log(): string
  /** Without warning: what it had not saved is gone. */
  kill(): Promise<void>
  /** SIGTERM: it saves what it holds. */
  halt(): Promise<void>
  /** Again, on the same port and folder. */
  restart(): Promise<void>
  /** Ends it and removes what it kept. */
  stop(): Promise<void>
}

/** `cameras`: password of each, by `kvfv_id`. */
export async function startMosquitto(
  cameras: Readonly<Record<string, string>>,
): Promise<Mosquitto> {
  for (const program of ['mosquitto', 'mosquitto_passwd']) {
    await findSystemProgram(program, 'mosquitto')
  }
  const port = await freePort()
  const data = await mkdtemp(join(tmpdir(), 'potok-mosquitto-'))
  const password = 'of potok'
  const url = `mqtt://127.0.0.1:${port}`
  const plan: ServerPlan = {
    name: 'Mosquitto',
    command: 'sh',
    args: [startScript],
    env: {
      PATH: serverPath(),
      MQTT_LISTEN: `${port} 127.0.0.1`,
      MQTT_DATA: data,
      MQTT_PASSWORD: password,
      MQTT_CAMERAS: Object.entries(cameras)
        .map((camera) => camera.join(':'))
        .join(' '),
    },
    isReady: async () => {
      const client = await connectAsync(url, { username: 'potok', password, reconnectPeriod: 0 })
      await client.endAsync()
      return true
    },
  }
  let server: ServerProcess = await startServer(plan)
  return {
    url,
    port,
    password,
    log: () => server.log(),
    kill: () => server.kill('SIGKILL'),
    halt: () => server.stop(),
    async restart() {
      server = await startServer(plan)
    },
    async stop() {
      await server.stop()
      await rm(data, { recursive: true, force: true })
    },
  }
}
