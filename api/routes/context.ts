/** What every route has at hand, and the few ways in which all of them read requests and write answers. */
import type { Request, Response } from 'express'
import type { z } from 'zod'
import { PotokError } from '../../kernel/errors.ts'
import { type ProblemOptions, problemOf } from '../../kernel/problem.ts'
import type { CameraStore } from '../cameras/camera-store.ts'
import type { Operation } from '../contract/operations.ts'
import type { ApiConfig, ApiPorts } from '../ports.ts'
import type { ReadModel } from '../read-model/read-model.ts'
import type { ResponseCache } from '../response-cache.ts'
import type { SharedAnswers } from '../shared-answers.ts'

export type ApiContext = {
  readonly ports: Pick<
    ApiPorts,
    'clock' | 'logger' | 'registry' | 'recompute' | 'logRanges' | 'health'
  >
  readonly config: Pick<ApiConfig, 'version' | 'cubeCacheBytesMax'>
  readonly responses: ResponseCache
  /** null: no store that processes share is configured. */
  readonly shared: SharedAnswers | null
  readonly model: ReadModel
  readonly cameras: CameraStore
}

/** Handlers by the operation's id: `create-api-router.ts` refuses to start with one missing or one too many. */
export type Handlers = Readonly<
  Record<string, (request: Request, response: Response) => void | Promise<void>>
>

/** Validates a part of a request; what is wrong is named. */
export function parsePart<T extends z.ZodType>(
  schema: T,
  value: unknown,
  what: 'parameter' | 'member',
): z.infer<T> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const name = unknown ?? issue?.path.map(String).join('.') ?? ''
  const text = unknown === undefined ? reasonOf(issue, value) : 'is unknown here'
  throw new PotokError(
    'InvalidInput',
    name === '' ? `the body ${text}` : `${what} ${name} ${text}`,
    {
      context: name === '' ? {} : { parameter: name },
    },
  )
}

function reasonOf(issue: z.core.$ZodIssue | undefined, value: unknown): string {
  const first = issue?.path[0]
  const given =
    first === undefined ? value : (value as Record<PropertyKey, unknown> | null)?.[first]
  if (first !== undefined && given === undefined) return 'is missing'
  return `is wrong: ${(issue?.message ?? 'invalid').replace(/^Invalid input: /, '')}`
}

export function sendJson(response: Response, status: number, value: unknown): void {
  response.status(status).type('application/json').send(JSON.stringify(value))
}

export function sendProblem(response: Response, error: unknown, options?: ProblemOptions): void {
  const { status, headers, body } = problemOf(error, options)
  response.status(status).set(headers).send(body)
}

/** Answers 304 and gives true where the client has what this ETag names. */
export function isUnchanged(request: Request, response: Response, etag: string): boolean {
  response.setHeader('ETag', etag)
  response.setHeader('Cache-Control', 'no-cache')
  const known = request.headers['if-none-match']
  if (known === undefined || (known !== etag && !known.split(/\s*,\s*/).includes(etag)))
    return false
  response.status(304).end()
  return true
}

/** `/v1/recompute/{run_id}` as express writes it. */
export function expressPath(operation: Operation): string {
  return operation.path.replace(/\{(\w+)\}/g, ':$1')
}
