/** What the file system says, as an operating error that names the path and what can be done about it. */
import { PotokError } from '../../kernel/errors.ts'

export function errorCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  return typeof code === 'string' ? code : undefined
}

const explanations: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the disk; free some, or move the data to a larger one',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is mounted read-only',
  EACCES: 'permission is denied to the user that runs potok',
  EPERM: 'the operation is not permitted to the user that runs potok',
  EMFILE: 'too many files are open; raise the limit (ulimit -n)',
  ENFILE: 'the system has too many files open',
  EIO: 'the disk reports an input/output error',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'the path is a folder, not a file',
  ENAMETOOLONG: 'the name is too long for the file system',
}

/** `doing` completes "could not …", e.g. "write". NotFound and AlreadyExists are definite, the rest is not. */
export function fileSystemError(error: unknown, doing: string, path: string): PotokError {
  if (error instanceof PotokError) return error
  const code = errorCode(error)
  const context = { path, code }
  if (code === 'ENOENT') {
    return new PotokError('NotFound', `could not ${doing} ${path}: it does not exist`, {
      context,
      cause: error,
    })
  }
  if (code === 'EEXIST') {
    return new PotokError('AlreadyExists', `could not ${doing} ${path}: it exists already`, {
      context,
      cause: error,
    })
  }
  const why = (code === undefined ? undefined : explanations[code]) ?? `the system says ${code}`
  return new PotokError('Unavailable', `could not ${doing} ${path}: ${why}`, {
    context,
    cause: error,
  })
}
