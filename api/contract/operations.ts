/** Every route, once: what the router serves, what the OpenAPI document and the reference page show. */
import type { z } from 'zod'
import * as schemas from './schemas.ts'

export type Operation = {
  readonly method: 'get' | 'put' | 'post'
  /** OpenAPI's way of writing it: `/v1/recompute/{run_id}`. */
  readonly path: string
  readonly id: string
  readonly summary: string
  readonly tag: 'speeds' | 'cameras' | 'exactness' | 'operation' | 'intake'
  readonly params?: z.ZodObject
  readonly query?: z.ZodObject
  readonly body?: z.ZodType
  readonly bodyTypes?: readonly string[]
  readonly answers: Readonly<
    Record<number, { readonly what: string; readonly schema?: z.ZodType; readonly type?: string }>
  >
  /** Who serves it; the others are routes of `createApiRouter`. */
  readonly servedBy?: 'gateway'
}

const problem = (what: string) => ({
  what,
  schema: schemas.problem,
  type: 'application/problem+json',
})
const badParameter = problem('A parameter or member is missing, unknown or wrong; it is named')
const unavailable = problem('Not now: Retry-After says when')

export const operations: readonly Operation[] = [
  {
    method: 'get',
    path: '/kvfv/{id}/avg-speed',
    id: 'getAvgSpeed',
    summary: 'Mean speeds of one camera, window by window, and how final each is',
    tag: 'speeds',
    params: schemas.cameraPath,
    query: schemas.avgSpeedQuery,
    answers: {
      200: { what: 'Windows with start in [from, to)', schema: schemas.avgSpeedAnswer },
      304: { what: 'No window of this answer changed since the ETag given' },
      400: badParameter,
      404: problem('The camera is not registered and never sent anything'),
      503: unavailable,
    },
  },
  {
    method: 'get',
    path: '/kvfv',
    id: 'listCameras',
    summary: 'Cameras, registered or seen, with their newest mean speed',
    tag: 'cameras',
    query: schemas.cameraListQuery,
    answers: {
      200: { what: 'Cameras by id', schema: schemas.cameraListAnswer },
      400: badParameter,
    },
  },
  {
    method: 'get',
    path: '/v1/cameras/{id}',
    id: 'getCamera',
    summary: 'One camera: facts, their history, newest mean speed',
    tag: 'cameras',
    params: schemas.cameraPath,
    answers: {
      200: { what: 'The camera', schema: schemas.cameraAnswer },
      404: problem('The camera is not registered and never sent anything'),
    },
  },
  {
    method: 'put',
    path: '/v1/cameras/{id}',
    id: 'putCamera',
    summary: 'Registers a camera, or replaces its facts of one period',
    tag: 'cameras',
    params: schemas.cameraPath,
    body: schemas.cameraBody,
    answers: {
      200: { what: 'Replaced', schema: schemas.cameraAnswer },
      201: { what: 'Registered', schema: schemas.cameraAnswer },
      400: badParameter,
      503: unavailable,
    },
  },
  {
    method: 'post',
    path: '/v1/cameras',
    id: 'importCameras',
    summary: 'Registers many cameras, or replaces their facts, in one commit',
    tag: 'cameras',
    body: schemas.cameraImportBody,
    answers: {
      200: { what: 'All are in', schema: schemas.cameraImportAnswer },
      400: badParameter,
      503: unavailable,
    },
  },
  {
    method: 'get',
    path: '/v1/days',
    id: 'listDays',
    summary: 'How final each day is',
    tag: 'exactness',
    query: schemas.dayListQuery,
    answers: {
      200: { what: 'Days, newest first', schema: schemas.dayListAnswer },
      400: badParameter,
    },
  },
  {
    method: 'post',
    path: '/v1/recompute',
    id: 'requestRecompute',
    summary: 'Asks for an exact run: of everything due and dirty, or of some days and cameras',
    tag: 'exactness',
    body: schemas.recomputeBody,
    answers: {
      202: { what: 'Queued; Location names it', schema: schemas.runAnswer },
      400: badParameter,
      501: problem('The exact job does not run in this process'),
      503: unavailable,
    },
  },
  {
    method: 'get',
    path: '/v1/recompute',
    id: 'listRecomputeRuns',
    summary: 'Exact runs since the start of this process, newest first',
    tag: 'exactness',
    answers: { 200: { what: 'Runs', schema: schemas.runListAnswer } },
  },
  {
    method: 'get',
    path: '/v1/recompute/{run_id}',
    id: 'getRecomputeRun',
    summary: 'One exact run; done means: answers here already show it',
    tag: 'exactness',
    params: schemas.runPath,
    answers: {
      200: { what: 'The run', schema: schemas.runAnswer },
      404: problem('No such run in this process; the table recompute_runs keeps all'),
    },
  },
  {
    method: 'get',
    path: '/v1/status',
    id: 'getStatus',
    summary:
      'The pipeline: positions, lag, last commits, watermark, sealed until, dirty days, services',
    tag: 'operation',
    answers: { 200: { what: 'State', schema: schemas.statusAnswer } },
  },
  {
    method: 'get',
    path: '/healthz',
    id: 'getHealth',
    summary: 'Does the process answer?',
    tag: 'operation',
    answers: { 200: { what: 'It does', schema: schemas.healthAnswer } },
  },
  {
    method: 'get',
    path: '/readyz',
    id: 'getReadiness',
    summary: 'Do all services that were started here serve?',
    tag: 'operation',
    answers: {
      200: { what: 'All do', schema: schemas.readyAnswer },
      503: problem('Some do not; services names each with its reason'),
    },
  },
  {
    method: 'get',
    path: '/metrics',
    id: 'getMetrics',
    summary: 'Metrics for Prometheus',
    tag: 'operation',
    answers: { 200: { what: 'Text exposition format', type: 'text/plain' } },
  },
  {
    method: 'get',
    path: '/openapi.json',
    id: 'getOpenApi',
    summary: 'This contract',
    tag: 'operation',
    answers: { 200: { what: 'OpenAPI 3.1' } },
  },
  {
    method: 'post',
    path: '/v1/events',
    id: 'postEvents',
    summary: 'Takes detections; answers only after they are durable',
    tag: 'intake',
    servedBy: 'gateway',
    body: schemas.eventBody,
    bodyTypes: ['application/json', 'application/x-ndjson'],
    answers: {
      202: {
        what: 'Kept; what could not be a detection is named by index',
        schema: schemas.eventsAnswer,
      },
      400: problem('Nothing in it could be accepted, or it can’t be read at all'),
      413: problem('Too large, as sent or inflated'),
      503: unavailable,
    },
  },
]
