/** A server that the machine's own packages bring; where it is missing, the error names the package. */
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

/** Debian keeps servers where the PATH of plain users doesn't look. */
const serverFolders = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/sbin']

/** The PATH with the folders of servers, for programs that start others. */
export function serverPath(): string {
  return [process.env['PATH'] ?? '', ...serverFolders].join(delimiter)
}

export async function findSystemProgram(name: string, aptPackage: string): Promise<string> {
  for (const folder of serverPath().split(delimiter)) {
    const path = join(folder, name)
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (folder !== '' && isThere) return path
  }
  throw new Error(`${name} is not on this machine: apt install ${aptPackage}`)
}
