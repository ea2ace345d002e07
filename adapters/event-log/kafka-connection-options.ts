/** A `KafkaConnection` as options of @platformatic/kafka's `Connection`. */
import { isIP } from 'node:net'
import { AuthenticationError, type ConnectionOptions, type SASLOptions } from '@platformatic/kafka'
import type { KafkaConnection, KafkaSasl } from './kafka-connection.ts'

/** Options of one connection to `host`, whose name is what a certificate must be for. */
export function connectionOptions(connection: KafkaConnection, host: string): ConnectionOptions {
  const { tls, sasl, connectTimeoutMs, requestTimeoutMs } = connection
  return {
    connectTimeout: connectTimeoutMs,
    requestTimeout: requestTimeoutMs,
    ...(sasl === null ? {} : { sasl: saslOptions(sasl) }),
    ...(tls === null
      ? {}
      : {
          tls: {
            ...(tls.ca === null ? {} : { ca: tls.ca }),
            ...(tls.client === null ? {} : { cert: tls.client.certificate, key: tls.client.key }),
          },
          // Several brokers behind one address are told apart by it. An address is no server name.
          tlsServerName: isIP(host) === 0 ? host : false,
        }),
  }
}

function saslOptions(sasl: KafkaSasl): SASLOptions {
  return sasl.mechanism === 'OAUTHBEARER'
    ? { mechanism: sasl.mechanism, token: sasl.token, authBytesValidator: refuseInvalidToken }
    : { mechanism: sasl.mechanism, username: sasl.username, password: sasl.password }
}

/** A broker says what is wrong with a token in an answer that is no error (RFC 7628 §3.2.2): {"status":…}. */
const refuseInvalidToken: NonNullable<SASLOptions['authBytesValidator']> = (bytes, callback) => {
  if (bytes.length === 0) callback(null, bytes)
  else callback(new AuthenticationError('the broker takes the token for invalid'))
}
