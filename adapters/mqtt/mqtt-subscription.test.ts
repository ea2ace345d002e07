import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Message, MessageSource } from '../../kernel/message-source.ts'
import type { Logger } from '../../kernel/ports.ts'
import { type ScriptedBroker, startScriptedBroker } from '../../testkit/scripted-broker.ts'
import { createMqttSubscription, type SubscriptionLimits } from './mqtt-subscription.ts'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const brokers: ScriptedBroker[] = []
const subscriptions: MessageSource[] = []
afterEach(async () => {
  for (const subscription of subscriptions.splice(0)) await subscription.close(0)
  for (const broker of brokers.splice(0)) await broker.close()
})

/** Of one message: the test says when it is taken. */
type Handed = { message: Message; signal: AbortSignal; taken(): void; failed(): void }

async function setUp(
  limits: Partial<SubscriptionLimits> = {},
  script: Parameters<typeof startScriptedBroker>[0] = {},
) {
  const broker = await startScriptedBroker(script)
  brokers.push(broker)
  const handed: Handed[] = []
  const subscription = createMqttSubscription({
    url: broker.url,
    username: null,
    password: null,
    ca: null,
    clientId: 'potok-1',
    group: 'potok',
    clock: { nowMs: () => 0 },
    logger: silent,
    limits: { reconnectMs: 20, ...limits },
  })
  subscriptions.push(subscription)
  await subscription.open(
    (message, signal) =>
      new Promise((resolve, reject) => {
        const failed = () => reject(new Error('not taken'))
        signal.addEventListener('abort', failed)
        handed.push({ message, signal, taken: resolve, failed })
      }),
  )
  const subscribed = (times: number) =>
    vi.waitFor(() => expect(broker.received.filter(({ type }) => type === 8).length).toBe(times))
  await subscribed(1)
  const has = (count: number) => vi.waitFor(() => expect(handed).toHaveLength(count))
  return { broker, subscription, handed, has, subscribed }
}

const acksOf = (broker: ScriptedBroker) =>
  broker.received.filter(({ type }) => type === 4).map(({ id }) => id)
/** Long enough for what is on its way over the loopback. */
async function turn(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('a subscription', () => {
  it('acknowledges a message when it is taken and not before', async () => {
    const { broker, handed, has, subscription } = await setUp()
    broker.publish('kvfv/KV1/events', '{}', 7)
    await has(1)
    expect(handed[0]?.message.topic).toBe('kvfv/KV1/events')
    await turn()
    expect(acksOf(broker)).toEqual([])
    expect(subscription.health()).toMatchObject({ ok: true, details: { messagesInFlight: 1 } })
    handed[0]?.taken()
    await vi.waitFor(() => expect(acksOf(broker)).toEqual([7]))
  })

  it('hands over further messages meanwhile, and acknowledges in their order', async () => {
    const { broker, handed, has } = await setUp()
    for (const id of [1, 2, 3]) broker.publish('kvfv/KV1/events', '{}', id)
    await has(3)
    handed[2]?.taken()
    handed[1]?.taken()
    await turn()
    expect(acksOf(broker)).toEqual([])
    handed[0]?.taken()
    await vi.waitFor(() => expect(acksOf(broker)).toEqual([1, 2, 3]))
  })

  it('acknowledges nothing after a message that was not taken', async () => {
    const { broker, handed, has } = await setUp()
    for (const id of [1, 2]) broker.publish('kvfv/KV1/events', '{}', id)
    await has(2)
    handed[0]?.failed()
    handed[1]?.taken()
    await turn()
    expect(acksOf(broker)).toEqual([])
  })

  it('gives up what waits when the connection ends, and acknowledges it on no other', async () => {
    const { broker, handed, has, subscribed } = await setUp()
    broker.publish('kvfv/KV1/events', '{"old":1}', 1)
    await has(1)
    broker.cut()
    await vi.waitFor(() => expect(handed[0]?.signal.aborted).toBe(true))
    await subscribed(2)
    // The same id is another message now.
    broker.publish('kvfv/KV1/events', '{"new":1}', 1)
    await has(2)
    handed[0]?.taken()
    await turn()
    expect(acksOf(broker)).toEqual([])
    handed[1]?.taken()
    await vi.waitFor(() => expect(acksOf(broker)).toEqual([1]))
  })

  it('reads on only while what waits has few bytes', async () => {
    const { broker, handed, has } = await setUp({ unacknowledgedBytesMax: 10 })
    for (const id of [1, 2, 3]) broker.publish('kvfv/KV1/events', '{"a":12345}', id)
    await has(1)
    await turn()
    expect(handed).toHaveLength(1)
    handed[0]?.taken()
    await has(2)
  })

  it('takes messages of QoS 0 one after the other, and acknowledges none', async () => {
    const { broker, handed, has, subscription } = await setUp()
    broker.publish('kvfv/KV1/events', '{}')
    broker.publish('kvfv/KV1/events', '{}')
    await has(1)
    await turn()
    expect(handed).toHaveLength(1)
    handed[0]?.failed()
    await has(2)
    handed[1]?.taken()
    await vi.waitFor(() =>
      expect(subscription.health().details).toMatchObject({ messagesInFlight: 0, unkeptQos0: 1 }),
    )
    expect(acksOf(broker)).toEqual([])
  })

  it('says that it is refused, cut off or robbed of its session', async () => {
    const refused = await setUp({}, { subackReason: 0x87 })
    await vi.waitFor(() =>
      expect(refused.subscription.health().reason).toMatch(/does not give \$share\/potok\/kvfv/),
    )
    const robbed = await setUp({ reconnectMs: 60_000 })
    await vi.waitFor(() => expect(robbed.subscription.health().ok).toBe(true))
    robbed.broker.disconnect(0x8e)
    await vi.waitFor(() =>
      expect(robbed.subscription.health().reason).toMatch(/potok-1: give each process/),
    )
    const cut = await setUp({ reconnectMs: 60_000 })
    await vi.waitFor(() => expect(cut.subscription.health().ok).toBe(true))
    cut.broker.cut()
    await vi.waitFor(() =>
      expect(cut.subscription.health().reason).toMatch(/the connection to the broker is lost/),
    )
  })

  it('asks whether another process has its name where its connections end again and again', async () => {
    const { broker, subscription, subscribed } = await setUp()
    for (let connections = 1; connections <= 3; connections++) {
      await subscribed(connections)
      await vi.waitFor(() => expect(subscription.health().details).toMatchObject({ connected: 1 }))
      expect(subscription.health().ok).toBe(true)
      broker.cut()
    }
    await subscribed(4)
    expect(subscription.health()).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/ended 3 times.*another process use the session potok-1/),
    })
  })

  it('acknowledges what is taken while it stops, and takes nothing more', async () => {
    const { broker, handed, has, subscription } = await setUp()
    broker.publish('kvfv/KV1/events', '{}', 1)
    await has(1)
    const closed = subscription.close(5_000)
    broker.publish('kvfv/KV1/events', '{}', 2)
    await turn()
    handed[0]?.taken()
    await closed
    await vi.waitFor(() => expect(broker.received.at(-1)?.type).toBe(14))
    expect(acksOf(broker)).toEqual([1])
    expect(handed).toHaveLength(1)
  })
})
