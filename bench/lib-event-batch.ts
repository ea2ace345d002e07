/** A batch of events as the writer makes it: arrival order, a thousand cameras, every plate distinct. */
import { createHash } from 'node:crypto'
import type { ColumnBatch } from '../kernel/columns.ts'
import { createRandom } from '../testkit/random.ts'

const cameras = 1_000
const letters = 'АВЕКМНОРСТУХ'.split('')

export function eventBatch(rows: number, seed = 1): ColumnBatch {
  const random = createRandom(seed)
  const startUs = Date.UTC(2025, 3, 5) * 1_000
  const ids = new Uint8Array(rows * 16)
  const kvfvIds: string[] = []
  const plates: string[] = []
  const attributes: string[] = []
  const times = new Float64Array(rows)
  const speeds = new Float64Array(rows)
  const received = new Float64Array(rows)
  const offsets = new BigInt64Array(rows)
  for (let i = 0; i < rows; i++) {
    ids.set(createHash('md5').update(`${seed}/${i}`).digest(), i * 16)
    kvfvIds.push(`KV${10_000 + random.below(cameras)}`)
    const letter = () => random.pick(letters)
    plates.push(
      `${letter()}${100 + random.below(900)}${letter()}${letter()}${1 + random.below(199)}`,
    )
    attributes.push(
      `{"lane":${1 + random.below(4)},"direction":"forward","confidence":0.${random.below(1_000)}}`,
    )
    received[i] = startUs + i * 86 + random.below(1_000)
    times[i] = (received[i] as number) - random.below(20_000_000)
    if ((times[i] as number) < startUs) times[i] = startUs
    speeds[i] = Math.round(60_000 + 40_000 * (random.next() - 0.5)) / 1_000
    offsets[i] = BigInt(i)
  }
  return {
    rowCount: rows,
    columns: {
      event_id: { type: 'uuid', values: ids },
      kvfv_id: { type: 'string', values: kvfvIds },
      event_time: { type: 'timestamptz', values: times },
      vehicle_speed: { type: 'double', values: speeds },
      plate_number: { type: 'string', values: plates },
      attributes: { type: 'string', values: attributes },
      received_at: { type: 'timestamptz', values: received },
      log_epoch: { type: 'int', values: new Int32Array(rows) },
      log_partition: { type: 'int', values: new Int32Array(rows) },
      log_offset: { type: 'long', values: offsets },
    },
  }
}
