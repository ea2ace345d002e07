#!/usr/bin/env node
/**
 * A camera-side client for potok in one file, without dependencies (Node 20 or newer).
 *
 *   your-camera-software | node camera-client.mjs --url http://potok:8080 --spool /var/spool/camera
 *
 * It reads detections from stdin, one JSON object a line ({"kvfv_id", "timestamp", "vehicle_speed", …}), and
 * delivers them to POST /v1/events. What makes it safe on a poor link:
 *
 * - A detection is on the disk (fsync) before anything is sent, and leaves it only after potok has
 *   acknowledged it: a crash, a power cut or days without link lose nothing.
 * - Each detection gets its `event_id` once, when it is read. What is sent again carries the same id, and
 *   potok counts it once. So the rule is simple: without a clear answer, send again.
 * - Pauses between attempts grow and are random, so that a thousand cameras don't come back in one instant;
 *   `Retry-After` is obeyed.
 * - The spool is bounded. When it is full, the oldest detections go, and the client says how many.
 *
 * Ends when stdin has ended and everything is delivered (or on SIGTERM/SIGINT; the next start goes on).
 */
import { randomUUID } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { renameSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8080' },
    spool: { type: 'string', default: './spool' },
    'spool-mib-max': { type: 'string', default: '1024' },
  },
})
const url = new URL('/v1/events', options.url)
const spoolBytesMax = Number(options['spool-mib-max']) * 1024 * 1024
const eventsPerSegment = 500
const segmentAgeMsMax = 1_000
const pauseMsMin = Number(process.env.CAMERA_CLIENT_PAUSE_MS_MIN ?? 500)
const pauseMsMax = 60_000

const state = { stopping: false, inputEnded: false }
const stop = () => {
  state.stopping = true
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)

// ---- the spool: segments named by number, written in order, deleted in order -------------------------
// "open.part" is being written; renamed to "<number>.ndjson" it is complete and waits for delivery.

mkdirSync(options.spool, { recursive: true })
const segmentPath = (number) => join(options.spool, `${String(number).padStart(12, '0')}.ndjson`)
const partPath = join(options.spool, 'open.part')
const segments = readdirSync(options.spool)
  .filter((name) => /^\d{12}\.ndjson$/.test(name))
  .map((name) => Number(name.slice(0, 12)))
  .sort((a, b) => a - b)
let nextNumber = (segments.at(-1) ?? 0) + 1
let part = null
// What a crash left half-written: whole lines of it are good.
if (readdirSync(options.spool).includes('open.part')) {
  part = { descriptor: openSync(partPath, 'a'), lines: 1, bornAt: 0 }
  closeSegment()
}

function keep(line) {
  part ??= { descriptor: openSync(partPath, 'a'), lines: 0, bornAt: Date.now() }
  writeSync(part.descriptor, `${line}\n`)
  part.lines++
  if (part.lines >= eventsPerSegment) closeSegment()
}

function closeSegment() {
  if (part === null) return
  fsyncSync(part.descriptor)
  closeSync(part.descriptor)
  part = null
  renameSync(partPath, segmentPath(nextNumber))
  segments.push(nextNumber++)
  const directory = openSync(options.spool, 'r')
  fsyncSync(directory)
  closeSync(directory)
  dropOldest()
}

function dropOldest() {
  const sizes = segments.map((number) => statSync(segmentPath(number)).size)
  let total = sizes.reduce((sum, size) => sum + size, 0)
  // The first may be under way: it stays.
  while (total > spoolBytesMax && segments.length > 2) {
    const [number] = segments.splice(1, 1)
    total -= sizes.splice(1, 1)[0]
    const lost = linesOf(number).length
    unlinkSync(segmentPath(number))
    console.error(`spool full: the ${lost} oldest detections that waited are lost`)
  }
}

function linesOf(number) {
  const lines = readFileSync(segmentPath(number), 'utf8').split('\n')
  lines.pop() // After the last line end there is nothing, or half a line of a crash: never acknowledged to you.
  return lines
}

// ---- input -------------------------------------------------------------------------------------------

function accept(line) {
  if (line.trim() === '') return
  let detection
  try {
    detection = JSON.parse(line)
  } catch {
    console.error(`not JSON, skipped: ${line.slice(0, 200)}`)
    return
  }
  // The id is given here, once; a resend must not make a new one.
  keep(JSON.stringify({ event_id: randomUUID(), ...detection }))
}

const input = createInterface({ input: process.stdin })
input.on('line', accept)
input.on('close', () => {
  closeSegment()
  state.inputEnded = true
})
const closer = setInterval(() => {
  if (part !== null && Date.now() - part.bornAt >= segmentAgeMsMax) closeSegment()
}, 200)

// ---- delivery: oldest segment first, one at a time, until there is a clear answer ----------------------

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** True when potok has every good detection of these lines; throws what to try again after. */
async function deliver(lines) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines.join('\n'),
    signal: AbortSignal.timeout(30_000),
  })
  const text = await response.text()
  if (response.status === 202 || response.status === 400) {
    // 400: nothing in it could be accepted. The bad ones are named, potok keeps them in rejected_events.
    const answer = parse(text)
    for (const { index, reason, detail } of answer?.rejected ?? []) {
      console.error(`rejected (${reason}): ${detail} ${lines[index]?.slice(0, 200)}`)
    }
    if (response.status === 202 || Array.isArray(answer?.rejected)) return
  }
  if (response.status === 413 && lines.length > 1) {
    await deliver(lines.slice(0, lines.length >> 1))
    await deliver(lines.slice(lines.length >> 1))
    return
  }
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  const failure = new Error(`HTTP ${response.status} ${text.slice(0, 200)}`)
  if (seconds >= 0) failure.retryAfterMs = seconds * 1_000
  throw failure
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

let failures = 0
while (!state.stopping && !(state.inputEnded && segments.length === 0)) {
  const number = segments[0]
  if (number === undefined) {
    await sleep(100)
    continue
  }
  try {
    const lines = linesOf(number)
    if (lines.length > 0) await deliver(lines)
    unlinkSync(segmentPath(number))
    segments.shift()
    failures = 0
  } catch (error) {
    // Connection lost, time-out, 5xx: perhaps potok has it, perhaps not. Sending again is always right.
    const growing = Math.min(pauseMsMax, pauseMsMin * 2 ** failures++)
    const pauseMs = error.retryAfterMs ?? growing * (0.5 + Math.random() / 2)
    const waiting = segments.length
    console.error(
      `${error.cause?.message ?? error.message}; again in ${Math.round(pauseMs)} ms (${waiting} segments wait)`,
    )
    for (let left = pauseMs; left > 0 && !state.stopping; left -= 200)
      await sleep(Math.min(200, left))
  }
}
clearInterval(closer)
input.close()
process.stdin.destroy()
closeSegment()
