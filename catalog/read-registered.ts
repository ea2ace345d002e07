/**
 * Reads a metadata file that a client names for a table or view to be registered: what is wrong with it is the
 * client's to mend, and neither damage of ours nor a table that doesn't exist.
 */
import { illegalArgument } from '../iceberg/spec/refusals.ts'
import { describeError, isPotokError } from '../kernel/errors.ts'
import { noSuchFile } from './catalog-errors.ts'

export async function readRegistered<T>(
  location: string,
  read: (location: string) => Promise<T>,
): Promise<T> {
  try {
    return await read(location)
  } catch (error) {
    if (isPotokError(error, 'NotFound')) throw noSuchFile(location)
    if (isPotokError(error, 'DataCorrupt')) throw illegalArgument(describeError(error))
    throw error
  }
}
