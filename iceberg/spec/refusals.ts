/**
 * Refusals of a commit, a create or a view change, apart by what the reference implementation throws: clients
 * tell them apart by the exception's name, which `context.exception` carries to the REST server.
 */
import { PotokError } from '../../kernel/errors.ts'

/** The request makes no sense by itself. */
export function illegalArgument(message: string): PotokError {
  return new PotokError('InvalidInput', message, {
    context: { exception: 'IllegalArgumentException' },
  })
}

/** The request makes no sense for this table or view. */
export function validationFailed(message: string): PotokError {
  return new PotokError('InvalidInput', message, { context: { exception: 'ValidationException' } })
}

/** Somebody else's commit came in between: the client takes new values and tries again. */
export function staleCommit(message: string): PotokError {
  return new PotokError('CommitConflict', `Validation failed, please retry: ${message}`)
}

/** Known, and not done here. */
export function unsupported(message: string): PotokError {
  return new PotokError('Unsupported', message)
}
