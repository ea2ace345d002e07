/** How much the intake takes at once. Every buffer of the gateway has its bound here. */

export type IntakeLimits = {
  /** Of one body, after inflating. */
  readonly bodyBytesMax: number
  readonly itemBytesMax: number
  /** Above what fits into a body of valid events, so that it only stops bodies of crumbs. */
  readonly itemsMax: number
  /** Over all requests, what is made of rejected items included. */
  readonly inFlightBytesMax: number
  readonly appendTimeoutMs: number
  readonly retryAfterSeconds: number
}

export const defaultIntakeLimits: IntakeLimits = {
  bodyBytesMax: 16 * 1_024 * 1_024,
  itemBytesMax: 256 * 1_024,
  itemsMax: 250_000,
  inFlightBytesMax: 128 * 1_024 * 1_024,
  appendTimeoutMs: 10_000,
  retryAfterSeconds: 2,
}

/**
 * For the `http.Server` in front of the intake: what ends connections that send a byte at a time. Node checks
 * them every `connectionsCheckingInterval`.
 */
export const intakeServerOptions = {
  headersTimeout: 20_000,
  requestTimeout: 120_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5_000,
} as const
