/**
 * Between locations (`file:///a/b`) and paths of this machine. `file:/a`, `file:///a`, `file://localhost/a` and
 * a bare `/a` are the same. Nothing is percent-decoded: Iceberg's other readers take the path as it stands.
 */
import { PotokError } from '../../kernel/errors.ts'

export function pathOfLocation(location: string): string {
  const path = location.startsWith('/') ? location : stripScheme(location)
  if (path.includes('\0')) throw invalid(location, 'it holds a NUL character')
  const segments = path.split('/')
  if (segments.includes('..') || segments.includes('.')) {
    throw invalid(location, 'it holds . or .. as a segment')
  }
  return path.replaceAll(/\/{2,}/g, '/')
}

export function locationOfPath(path: string): string {
  return `file://${path}`
}

function stripScheme(location: string): string {
  if (!location.startsWith('file:')) throw invalid(location, 'it is no file: location')
  const rest = location.slice('file:'.length)
  if (!rest.startsWith('//')) {
    if (rest.startsWith('/')) return rest
    throw invalid(location, 'its path is not absolute')
  }
  const slash = rest.indexOf('/', 2)
  const host = slash === -1 ? rest.slice(2) : rest.slice(2, slash)
  if (slash === -1 || (host !== '' && host !== 'localhost')) {
    throw invalid(location, 'it names a host; write file:///path')
  }
  return rest.slice(slash)
}

function invalid(location: string, why: string): PotokError {
  return new PotokError('InvalidInput', `not a location on this machine: ${location}: ${why}`, {
    context: { location },
  })
}
