/**
 * Cameras of the fault run: they post bodies of events to whichever gateway is there, and do what cameras do
 * where no answer came: send the same body again, to another gateway, mostly until it is accepted, sometimes
 * never. Bodies that were accepted are sent again at random, too. What is accepted is kept, whatever happens.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../random.ts'
import { eventOf, type Ledger } from './sent-events.ts'

export type Cameras = {
  /** No new events from here on; resolves when nothing waits for an answer any more. */
  finish(): Promise<void>
  /** Answers that no gateway should give. */
  findings(): readonly string[]
  answers(): Readonly<Record<string, number>>
}

export type CamerasOptions = {
  readonly seed: number
  readonly baseMs: number
  readonly ledger: Ledger
  readonly random: Random
  /** Of the gateways that are up. */
  readonly urls: () => readonly string[]
  readonly eventsPerSecond: number
}

const senderCount = 3
const bodyEvents = 80
const answerMsMax = 20_000
/** Bodies without an answer at once; beyond it nothing new is made. */
const waitingMax = 60
const rememberedMax = 200
const finishMsMax = 120_000

export function startCameras(options: CamerasOptions): Cameras {
  const { ledger, random } = options
  const waiting: number[][] = []
  const accepted: number[][] = []
  const findings: string[] = []
  const answers: Record<string, number> = {}
  let finishBy = Infinity

  function next(): number[] | null {
    const isFinishing = Number.isFinite(finishBy)
    if (waiting.length > 0 && (isFinishing || random.chance(0.5))) return waiting.shift() ?? null
    if (isFinishing) return null
    if (accepted.length > 0 && random.chance(0.06)) return random.pick(accepted)
    if (waiting.length >= waitingMax) return waiting.shift() ?? null
    return ledger.take(1 + random.below(2 * bodyEvents - 1))
  }

  async function send(serials: readonly number[], url: string): Promise<string> {
    const body = serials.map((n) => eventOf(options.seed, options.baseMs, n).text).join('\n')
    ledger.sending(serials)
    const response = await fetch(`${url}/v1/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body,
      signal: AbortSignal.timeout(answerMsMax),
    })
    const text = await response.text()
    if (response.status !== 202) return report(response.status, text)
    const { accepted: count } = JSON.parse(text) as { accepted: number }
    if (count !== serials.length) {
      findings.push(`a gateway accepted ${count} of ${serials.length} good events: ${text}`)
    }
    return '202'
  }

  function report(status: number, text: string): string {
    // 503: too slow, full, stopping, or not known. No other answer fits a good body.
    if (status !== 503 && findings.length < 20) {
      findings.push(`a gateway answered ${status}: ${text.slice(0, 300)}`)
    }
    return String(status)
  }

  async function run(): Promise<void> {
    const pauseMs = (1_000 * senderCount * bodyEvents) / options.eventsPerSecond
    for (;;) {
      const urls = options.urls()
      const body = urls.length === 0 ? null : next()
      if (body === null) {
        if (Date.now() > finishBy || (Number.isFinite(finishBy) && waiting.length === 0)) return
        await sleep(50)
        continue
      }
      const startedMs = Date.now()
      const answer = await send(body, random.pick(urls)).catch(() => 'none')
      answers[answer] = (answers[answer] ?? 0) + 1
      if (answer === '202') {
        ledger.kept(body)
        accepted.push(body)
        if (accepted.length > rememberedMax) accepted.splice(random.below(accepted.length), 1)
      } else if (random.chance(0.9)) waiting.push(body)
      await sleep(Math.max(10, pauseMs * 2 * random.next() - (Date.now() - startedMs)))
    }
  }

  const running = Array.from({ length: senderCount }, run)
  return {
    async finish() {
      finishBy = Date.now() + finishMsMax
      await Promise.all(running)
    },
    findings: () => findings,
    answers: () => answers,
  }
}
