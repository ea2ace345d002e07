/**
 * How a Kafka cluster is reached: addresses, TLS, who we are (SASL), time-outs. Producer, reader and topic calls
 * all connect by this one type. Settings are read into it by every program: it loads nothing of Kafka's client.
 *
 * Invariant: secrets are in it and in nothing that is made of it for people (errors, logs, health).
 */
import { PotokError } from '../../kernel/errors.ts'

export type KafkaConnection = {
  /** Any of them is asked for the others. */
  readonly brokers: readonly KafkaAddress[]
  readonly clientId: string
  readonly tls: KafkaTls | null
  readonly sasl: KafkaSasl | null
  readonly connectTimeoutMs: number
  /** Of one request, beyond what the request itself asks the broker to wait. */
  readonly requestTimeoutMs: number
}

export type KafkaAddress = { readonly host: string; readonly port: number }

export type KafkaTls = {
  /** PEM; null: the authorities that Node trusts. */
  readonly ca: string | null
  /** Ours, PEM, where the brokers ask for one. */
  readonly client: { readonly certificate: string; readonly key: string } | null
}

export type KafkaSasl =
  | {
      readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
      readonly username: string
      readonly password: string
    }
  | { readonly mechanism: 'OAUTHBEARER'; readonly token: () => Promise<string> }

/** `host:port,host:port`; an IPv6 address stands in brackets, a port left out is 9092. */
export function parseBrokers(text: string): KafkaAddress[] {
  const parts = text.split(',').map((part) => part.trim())
  return parts
    .filter((part) => part !== '')
    .map((part) => {
      const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/@\s]+))(?::(\d{1,5}))?$/.exec(part)
      const port = Number(match?.[3] ?? 9_092)
      if (match === null || port < 1 || port > 65_535) {
        throw new PotokError('InvalidInput', `${part} is no address of a broker: write host:port`)
      }
      return { host: (match[1] ?? match[2]) as string, port }
    })
}
