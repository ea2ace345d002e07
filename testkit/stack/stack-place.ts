/** Where things of one stack are: its folder, the ports that were chosen for it, and names that all agree on. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

/** The last one is potok's own catalog: Trino is told of it before it runs. */
export const portNames = [
  'kafka',
  'kafkaInternal',
  'kafkaController',
  'minio',
  'trino',
  'mosquitto',
  'redis',
  'prometheus',
  'potokCatalog',
] as const

export type PortName = (typeof portNames)[number]

export type StackPlace = {
  /** Absolute. */
  readonly folder: string
  readonly ports: Readonly<Record<PortName, number>>
}

export const deployFolder = join(import.meta.dirname, '..', '..', 'deploy')
export const bucket = 'lake'

/** Known to everybody, as is fit for servers that listen on the loopback of one machine. */
export const minioKeys = { accessKeyId: 'potok', secretAccessKey: 'potok-stack-secret' }
export const mqttPassword = 'potok-stack'

/** Cameras that Mosquitto knows: as everywhere, each may publish under its own id only. */
export const mqttCameras = Array.from({ length: 8 }, (_, i) => ({
  kvfvId: `MQ${String(i + 1).padStart(5, '0')}`,
  password: `camera-${i + 1}`,
}))

/** A folder in that of the stack, made where it isn't there. */
export function subfolder(place: StackPlace, ...names: string[]): string {
  const path = join(place.folder, ...names)
  mkdirSync(path, { recursive: true })
  return path
}
