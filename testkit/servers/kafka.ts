/**
 * Kafka for the stack suite: one node (or several) that is broker and controller, from Maven Central, on free
 * ports of the loopback over a fresh folder, gone with the suite. Topics are not made by asking for them.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findJava } from './java.ts'
import { aliveBrokers } from './kafka-probe.ts'
import {
  type KafkaListener,
  type KafkaNode,
  type KafkaUsers,
  makeCertificate,
  nodeProperties,
  saslProperties,
  scramMechanisms,
} from './kafka-settings.ts'
import { mavenJars } from './maven.ts'
import { freePort, type ServerPlan, type ServerProcess, startServer } from './server-process.ts'

const execute = promisify(execFile)
const version = '4.3.1'
const javaMajorMin = 17
const toolMsMax = 120_000

export type KafkaOptions = {
  /** How many nodes; with three, each partition has three copies and needs two. */
  readonly nodes?: number
  /** Port of the first node's plain listener; any free one where it isn't named. */
  readonly port?: number
  /** More properties of every node. */
  readonly properties?: Readonly<Record<string, string>>
  /** Adds a listener per node whose clients are sent to this port of the loopback: that of a proxy. */
  readonly proxyPorts?: readonly number[]
  /** Adds a listener with TLS. */
  readonly tls?: boolean
  /** Adds a listener with SASL (PLAIN, SCRAM, OAUTHBEARER), and with `tls` one with both. */
  readonly users?: KafkaUsers
  /** In place of those for a short life with little memory. */
  readonly javaArgs?: readonly string[]
}

export type Kafka = {
  /** host:port of each node, comma-separated. */
  readonly brokers: string
  /** Those of another listener, of the nodes themselves: for `proxied`, what the proxy connects to. */
  brokersOf(listener: KafkaListener): string
  /** PEM file with the CA of the TLS listeners, else an empty text. */
  readonly caFile: string
  pid(node?: number): number
  log(node?: number): string
  /** Kills a node without warning (the first is 0), and starts it again over the same folder and ports. */
  kill(node?: number): Promise<void>
  restart(node?: number): Promise<void>
  /** Runs one of Kafka's programs, say `org.apache.kafka.tools.TopicCommand`; what it printed. */
  tool(mainClass: string, args: readonly string[]): Promise<string>
  stop(): Promise<void>
}

/** As for Trino: for a short life the second compiler takes more time than it saves. */
export const kafkaJavaArgs = ['-Xms128m', '-Xmx512m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']
const toolJavaArgs = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']

export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  const program = await kafkaProgram()
  const folder = await mkdtemp(join(tmpdir(), 'potok-kafka-'))
  const nodes = await planNodes(folder, options)
  const certificate = options.tls === true ? await makeCertificate(folder) : null
  const more = {
    ...certificate?.properties,
    ...(options.users === undefined ? {} : saslProperties(options.users)),
    ...options.properties,
  }
  const clusterId = newClusterId()
  await Promise.all(
    nodes.map(async (node) => {
      await mkdir(node.folder)
      await writeFile(settingsFile(node), nodeProperties(node, nodes, more))
      await program.run('kafka.tools.StorageTool', [
        'format',
        `--cluster-id=${clusterId}`,
        `--config=${settingsFile(node)}`,
        ...scramUsers(options.users ?? {}),
      ])
    }),
  )

  const start = (node: KafkaNode): Promise<ServerProcess> =>
    startServer(
      planKafka(program, {
        nodeId: node.id,
        port: node.ports.plain as number,
        settingsFile: settingsFile(node),
        javaArgs: options.javaArgs ?? kafkaJavaArgs,
      }),
    )
  const at = (index: number): KafkaNode => {
    const node = nodes[index]
    if (node === undefined) throw new Error(`this Kafka has no node ${index}`)
    return node
  }
  const brokersOf = (listener: KafkaListener): string =>
    nodes.map((node) => `127.0.0.1:${portOf(node, listener)}`).join(',')

  // Together: none is ready without most of the controllers.
  const servers = await Promise.all(nodes.map(start))
  const server = (index: number): ServerProcess => {
    at(index)
    return servers[index] as ServerProcess
  }
  return {
    brokers: brokersOf('plain'),
    brokersOf,
    caFile: certificate?.caFile ?? '',
    pid: (index = 0) => server(index).pid,
    log: (index = 0) => server(index).log(),
    kill: (index = 0) => server(index).kill('SIGKILL'),
    async restart(index = 0) {
      await server(index).kill('SIGKILL')
      servers[index] = await start(at(index))
    },
    tool: (mainClass, args) => program.run(mainClass, args),
    async stop() {
      // Nobody needs its data any more: no reason to wait for an orderly end.
      await Promise.all(servers.map((one) => one.kill('SIGKILL')))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export type KafkaProgram = {
  readonly java: string
  /** What each of its programs needs: the class path, and silence about what is well. */
  readonly javaArgs: readonly string[]
  run(
    mainClass: string,
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): Promise<string>
}

/** One node, over storage that is formatted. `port` is that of any listener without TLS and SASL. */
export function planKafka(
  program: KafkaProgram,
  node: {
    readonly nodeId: number
    readonly port: number
    readonly settingsFile: string
    readonly javaArgs: readonly string[]
  },
): ServerPlan {
  return {
    name: `Kafka ${version}, node ${node.nodeId}`,
    command: program.java,
    args: [...node.javaArgs, ...program.javaArgs, 'kafka.Kafka', node.settingsFile],
    isReady: async () => (await aliveBrokers(node.port)).includes(node.nodeId),
  }
}

export async function kafkaProgram(): Promise<KafkaProgram> {
  const java = await findJava(javaMajorMin)
  const jars = await mavenJars('kafka', [
    `org.apache.kafka:kafka_2.13:${version}`,
    `org.apache.kafka:kafka-tools:${version}`,
    'org.slf4j:slf4j-simple:1.7.36',
  ])
  const javaArgs = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', join(jars, '*')]
  return {
    java,
    javaArgs,
    async run(mainClass, args, env) {
      const all = [...toolJavaArgs, ...javaArgs, mainClass, ...args]
      const { stdout } = await execute(java, all, {
        timeout: toolMsMax,
        maxBuffer: 256 * 1024 * 1024,
        env: { ...process.env, ...env },
      })
      return stdout
    },
  }
}

async function planNodes(folder: string, options: KafkaOptions): Promise<KafkaNode[]> {
  const nodes: KafkaNode[] = []
  const extra: KafkaListener[] = [
    ...(options.proxyPorts === undefined ? [] : (['proxied'] as const)),
    ...(options.tls === true ? (['tls'] as const) : []),
    ...(options.users === undefined ? [] : (['sasl'] as const)),
    ...(options.users !== undefined && options.tls === true ? (['saslTls'] as const) : []),
  ]
  for (let index = 0; index < (options.nodes ?? 1); index++) {
    const plain = index === 0 ? options.port : undefined
    const ports: Partial<Record<KafkaListener, number>> = { plain: plain ?? (await freePort()) }
    for (const listener of extra) ports[listener] = await freePort()
    const proxyPort = options.proxyPorts?.[index] ?? null
    if (options.proxyPorts !== undefined && proxyPort === null)
      throw new Error(`no proxy for node ${index}`)
    const id = index + 1
    const controllerPort = await freePort()
    nodes.push({ id, folder: join(folder, `node-${id}`), controllerPort, ports, proxyPort })
  }
  return nodes
}

function portOf(node: KafkaNode, listener: KafkaListener): number {
  const port = node.ports[listener]
  if (port === undefined) throw new Error(`this Kafka was started without a listener ${listener}`)
  return port
}

function settingsFile(node: KafkaNode): string {
  return join(node.folder, 'server.properties')
}

/** 16 bytes in base64url; Kafka's programs take one that begins with - for a flag. */
export function newClusterId(): string {
  return randomBytes(16).toString('base64url').replace(/^-/, 'A')
}

function scramUsers(users: KafkaUsers): string[] {
  return Object.entries(users).flatMap(([name, password]) =>
    scramMechanisms.flatMap((mechanism) => [
      '--add-scram',
      `${mechanism}=[name=${name},password=${password}]`,
    ]),
  )
}
