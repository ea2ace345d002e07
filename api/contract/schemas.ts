/**
 * The HTTP contract: what is asked and what is answered, once. Requests are validated with these schemas,
 * `/openapi.json` and `docs/reference/http-api.md` are made from them, tests hold answers against them.
 * Wire names are snake case.
 */
import { z } from 'zod'
import { windowStatuses } from '../read-model/window-status.ts'

const cameraId = z.string().min(1).max(128).describe('Camera (complex), 1 to 128 characters')
const instant = z.string().describe('RFC 3339, UTC')
const day = z.iso.date().describe('UTC day, such as 2025-04-05')
const count = z.int().min(0)
const speed = z.number().nullable()
const snapshotId = z
  .string()
  .nullable()
  .describe('Iceberg snapshot of events; 64 bits, hence a string')

export const cameraPath = z.object({ id: cameraId })
export const runPath = z.object({ run_id: z.string().min(1).max(64).describe('Id of the run') })

const statusText =
  'open: more is expected. provisional: past the watermark, not yet computed exactly. exact: computed from the de-duplicated events. revising: exact, but newer late events wait for the next exact run'
const windowStatus = z
  .enum(windowStatuses as ['open', 'provisional', 'revising', 'exact'])
  .describe(statusText)

export const avgSpeedQuery = z.strictObject({
  from: z
    .string()
    .describe(
      'RFC 3339 with zone, or a date (start of that day in tz); rounded down to the interval',
    ),
  to: z.string().describe('Likewise; windows whose start is before it are in the answer'),
  interval: z.string().default('5m').describe('5m, 1h or 24h (1d is the same); default 5m'),
  tz: z
    .string()
    .default('UTC')
    .describe(
      'IANA time zone by which hours and days are cut (a day may have 23 or 25 hours); default UTC',
    ),
})

export const avgSpeedAnswer = z
  .strictObject({
    kvfv_id: cameraId,
    interval: z.enum(['5m', '1h', '24h']),
    from: instant.describe('from, rounded down to the interval'),
    to: instant,
    tz: z.string(),
    unit: z.literal('km/h'),
    as_of: instant.describe(
      'When the newest commit to events or rollup_5m was made that this answer includes, whether it concerned this camera or not: every commit up to it is in the answer. It stands still while nothing is committed, and alone does not change the ETag',
    ),
    total: z.strictObject({
      event_count: count,
      avg_speed: speed.describe('Time-mean speed Σv/n of all windows; null without events'),
      space_mean_speed: speed.describe(
        'Space-mean speed n/Σ(1/v) of what moved; null where nothing did',
      ),
    }),
    windows: z
      .array(
        z.strictObject({
          start: instant,
          end: instant,
          event_count: count,
          avg_speed: z.number().describe('Time-mean speed Σv/n'),
          space_mean_speed: speed.describe(
            'Space-mean speed n/Σ(1/v); vehicles below 1 km/h stay out of it; null where nothing moved',
          ),
          min_speed: z.number(),
          max_speed: z.number(),
          status: windowStatus,
          revision: z
            .int()
            .nullable()
            .describe(
              'Of the exact result: 1 at first, one more at each recomputation; null: none yet',
            ),
          source_snapshot_id: snapshotId,
          computed_at: instant,
        }),
      )
      .describe('Windows without events are left out'),
  })
  .describe('Numbers in km/h, rounded to 0.001 at the very end')

export const cameraListQuery = z.strictObject({
  search: z.string().max(128).default('').describe('Part of id, name or road, case doesn’t count'),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(200)
    .describe('Cameras in one answer, at most 1000; default 200'),
  offset: z.coerce
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe('Cameras to skip; default 0'),
})

export const cameraSummary = z.strictObject({
  kvfv_id: cameraId,
  name: z.string().nullable(),
  road: z.string().nullable(),
  registered: z.boolean().describe('false: it sends without being registered'),
  last_window: instant.nullable().describe('Start of its newest 5-minute window with events'),
  last_avg_speed: speed.describe('Time-mean speed of that window, km/h'),
  last_event_count: count.nullable(),
  freshness_seconds: z
    .number()
    .nullable()
    .describe('Seconds since the end of that window, 0 while it lasts'),
  status: windowStatus.nullable(),
})

export const cameraListAnswer = z.strictObject({
  total: count.describe('Cameras that match'),
  as_of: instant,
  cameras: z.array(cameraSummary).describe('By id'),
})

const facts = {
  name: z.string().max(200).nullable().default(null).describe('Name for people'),
  road: z.string().max(200).nullable().default(null),
  latitude: z.number().min(-90).max(90).nullable().default(null).describe('WGS 84, degrees north'),
  longitude: z
    .number()
    .min(-180)
    .max(180)
    .nullable()
    .default(null)
    .describe('WGS 84, degrees east'),
  speed_limit: z.number().positive().max(400).nullable().default(null).describe('km/h'),
  valid_from: z
    .string()
    .nullable()
    .default(null)
    .describe('From when these facts hold: RFC 3339 or a date (UTC); null: always'),
  time_zone: z.string().max(64).nullable().default(null).describe('IANA name'),
  lanes: z.int().min(1).max(100).nullable().default(null),
}

export const cameraBody = z
  .strictObject(facts)
  .describe('Facts of a camera; replaces those with the same valid_from, other periods stay')

export const cameraImportBody = z.strictObject({
  cameras: z
    .array(z.strictObject({ kvfv_id: cameraId, ...facts }))
    .min(1)
    .max(5_000)
    .describe(
      'At most 5000 in one request; of two with the same id and valid_from the later counts',
    ),
})

export const cameraImportAnswer = z.strictObject({
  added: count.describe('Cameras that were not registered before'),
  changed: count.describe('Cameras that were'),
})

const storedFacts = z.strictObject({
  name: z.string().nullable(),
  road: z.string().nullable(),
  latitude: z.number().nullable(),
  longitude: z.number().nullable(),
  speed_limit: z.number().nullable(),
  valid_from: instant.nullable(),
  time_zone: z.string().nullable(),
  lanes: z.int().nullable(),
})

export const cameraAnswer = cameraSummary.extend({
  facts: storedFacts.nullable().describe('Those that hold now; null where it isn’t registered'),
  history: z.array(storedFacts).describe('All periods, by valid_from'),
})

export const dayListQuery = z.strictObject({
  from: z.iso.date().optional().describe('First UTC day'),
  to: z.iso.date().optional().describe('UTC day after the last'),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(366)
    .default(31)
    .describe('Days in one answer, at most 366; default 31'),
})

export const dayListAnswer = z.strictObject({
  as_of: instant,
  sealed_until: instant.nullable().describe('Every window before it holds exact rows only'),
  watermark: instant.nullable().describe('Of the most advanced log partition'),
  days: z
    .array(
      z.strictObject({
        day,
        status: windowStatus,
        sealed: z.boolean().describe('Does the whole day hold exact rows only?'),
        dirty_cameras: count
          .nullable()
          .describe('Cameras with newer late events; null: taken as all'),
        cameras: count.nullable().describe('Cameras with events; null: still being counted'),
        event_count: count.nullable(),
        revision_max: z.int().nullable().describe('Greatest revision of a camera on this day'),
        last_computed_at: instant.nullable(),
      }),
    )
    .describe('Days with events, newest first'),
})

const health = z.strictObject({
  ok: z.boolean(),
  reason: z.string().nullable(),
  details: z.record(z.string(), z.unknown()),
})

export const statusAnswer = z.strictObject({
  as_of: instant,
  now: instant,
  ready: z.boolean(),
  services: z.record(z.string(), health),
  sinks: z.array(
    z.strictObject({
      table: z.string(),
      snapshot_id: z.string().nullable(),
      last_commit_at: instant.nullable(),
      last_commit_age_seconds: z.number().nullable(),
      lag: count
        .nullable()
        .describe('Records of the log not yet committed; null: the log’s end isn’t known here'),
      partitions: z.array(
        z.strictObject({
          log_partition: count,
          log_epoch: count,
          position: count.describe('Next offset to read'),
          log_end: count.nullable(),
          lag: count.nullable(),
          watermark: instant.nullable(),
        }),
      ),
    }),
  ),
  watermark: instant.nullable(),
  sealed_until: instant.nullable(),
  dirty_days: z.array(z.strictObject({ day, cameras: count.nullable() })),
  cameras: z.strictObject({ with_data: count, registered: count }),
  recompute: z.strictObject({ available: z.boolean(), running: count, queued: count }),
  cache: z.strictObject({ bytes: count, bytes_max: count, entries: count }),
})

export const recomputeBody = z
  .strictObject({
    from: day.nullable().optional().describe('First UTC day; left out: everything due and dirty'),
    to: day.nullable().optional().describe('UTC day after the last'),
    cameras: z
      .array(cameraId)
      .min(1)
      .max(10_000)
      .nullable()
      .optional()
      .describe('Only these cameras: sealed days alone, nothing is sealed by it'),
    force: z.boolean().default(false).describe('Recompute clean days too'),
  })
  .describe('All optional: everything due and dirty')

export const runAnswer = z.strictObject({
  run_id: z.string(),
  status: z.enum(['queued', 'running', 'done', 'nothing_to_do', 'failed']),
  trigger: z.enum(['schedule', 'http', 'cli', 'demo']),
  request: z.strictObject({
    from: day.nullable(),
    to: day.nullable(),
    cameras: z.array(cameraId).nullable(),
    force: z.boolean(),
  }),
  requested_at: instant,
  started_at: instant.nullable(),
  finished_at: instant.nullable(),
  days: z.array(
    z.strictObject({ day, cameras: z.array(cameraId).nullable().describe('null: all') }),
  ),
  days_done: count,
  cameras: count.describe('Cameras recomputed, summed over days'),
  events_read: count,
  rows: count.describe('Rows written to the three rollup tables'),
  seconds: z.number().nullable(),
  sealed_until: instant.nullable(),
  message: z.string().nullable(),
  error: z.string().nullable().describe('Why it failed and what to do'),
})

export const runListAnswer = z.strictObject({ runs: z.array(runAnswer).describe('Newest first') })

export const problem = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
  })
  .describe('RFC 9457')

export const healthAnswer = z.strictObject({ status: z.literal('ok') })
export const readyAnswer = z.strictObject({
  status: z.literal('ready'),
  services: z.array(z.string()),
})

/** What intake accepts; the gateway serves it, and has the last word on mappings of other field names. */
export const eventBody = z
  .looseObject({
    kvfv_id: cameraId,
    timestamp: z.string().describe('RFC 3339 with zone, fractions up to µs'),
    vehicle_speed: z.number().min(0).max(400).describe('km/h'),
    plate_number: z.string().optional(),
    event_id: z.string().optional().describe('The camera’s own id of the detection'),
  })
  .describe(
    'One detection; an array of them; or one per line (application/x-ndjson). Up to 16 MiB, gzip too',
  )

export const eventsAnswer = z.looseObject({
  accepted: count,
  rejected: z.array(z.looseObject({ index: count, reason: z.string(), detail: z.string() })),
})

export type CameraSummary = z.infer<typeof cameraSummary>
export type CameraInput = z.infer<typeof cameraImportBody>['cameras'][number]
export type CameraAnswer = z.infer<typeof cameraAnswer>
export type DayListAnswer = z.infer<typeof dayListAnswer>
export type StatusAnswer = z.infer<typeof statusAnswer>
export type RunAnswer = z.infer<typeof runAnswer>
