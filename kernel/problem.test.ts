import { describe, expect, it } from 'vitest'
import { PotokError } from './errors.ts'
import { problemOf } from './problem.ts'

describe('problem details', () => {
  it('carry type, title, status, detail and what the client got wrong', () => {
    const error = new PotokError('InvalidInput', 'interval must be 5m, 1h or 24h', {
      context: { parameter: 'interval' },
    })
    const problem = problemOf(error)
    expect(problem.status).toBe(400)
    expect(problem.headers['content-type']).toBe('application/problem+json')
    expect(JSON.parse(problem.body)).toEqual({
      type: 'urn:potok:problem:invalid-input',
      title: 'The request is not valid',
      status: 400,
      detail: 'interval must be 5m, 1h or 24h',
      retryable: false,
      parameter: 'interval',
    })
  })

  it('say when to come again, and keep the inside to themselves', () => {
    const error = new PotokError('Overloaded', 'the log is full', { context: { path: '/secret' } })
    const problem = problemOf(error, { retryAfterSeconds: 7 })
    expect(problem.status).toBe(503)
    expect(problem.headers['retry-after']).toBe('7')
    expect(problem.body).not.toContain('/secret')
  })

  it('say nothing of a fault of ours', () => {
    const problem = problemOf(new TypeError('cannot read secret of undefined'))
    expect(problem.status).toBe(500)
    expect(problem.body).not.toContain('secret')
  })

  it('take a better status and further members', () => {
    const error = new PotokError('Unsupported', 'no')
    const problem = problemOf(error, { status: 415, members: { rejected: [] } })
    expect(JSON.parse(problem.body)).toMatchObject({ status: 415, rejected: [] })
  })
})
