/**
 * Answers of the catalog's routes. Metadata of tables goes out as the bytes of its file, with an
 * ETag wherever it goes out whole, so that clients ask for it again only when it has changed.
 */
import type { Request, Response } from 'express'
import type { LoadedTable, LoadedView } from '../iceberg/catalog.ts'
import { stringifyJson } from '../iceberg/codec/lossless-json.ts'
import { tableMetadataBytes } from '../iceberg/codec/metadata-bytes.ts'
import { encodeViewMetadata } from '../iceberg/codec/view-json.ts'
import type { TableMetadata } from '../iceberg/spec/table-metadata.ts'

/** Which snapshots an answer holds: all, or those that a branch or tag names. */
export type SnapshotMode = 'all' | 'refs'

/** 304 where the client has this answer already. */
export function sendTableIfNew(
  request: Request,
  response: Response,
  table: LoadedTable,
  mode: SnapshotMode,
): void {
  const etag = etagOf(table, mode)
  if (isMatch(request.get('If-None-Match'), etag)) {
    response.set('ETag', etag).status(304).end()
    return
  }
  sendTable(response, table, mode)
}

export function sendTable(
  response: Response,
  table: LoadedTable,
  mode: SnapshotMode = 'all',
): void {
  response.set('ETag', etagOf(table, mode))
  const location = JSON.stringify(table.metadataLocation)
  const head = Buffer.from(`{"metadata-location":${location},"metadata":`)
  const body = tableMetadataBytes(mode === 'refs' ? onlyRefs(table.metadata) : table.metadata)
  // Not through `send`, which would copy megabytes into one text.
  response.status(200).type('application/json')
  response.set('Content-Length', String(head.length + body.length + configPart.length))
  response.write(head)
  response.write(body)
  response.end(configPart)
}

const configPart = Buffer.from(',"config":{}}')

export function sendView(response: Response, view: LoadedView): void {
  sendJson(response, {
    'metadata-location': view.metadataLocation,
    metadata: encodeViewMetadata(view.metadata),
    config: {},
  })
}

export function sendJson(response: Response, value: unknown): void {
  sendText(response, stringifyJson(value))
}

export function sendNothing(response: Response): void {
  response.status(204).end()
}

function sendText(response: Response, json: string): void {
  response.status(200).type('application/json').send(json)
}

/** The file's name is unique to its content; what is left out makes it another answer. */
function etagOf(table: LoadedTable, mode: SnapshotMode): string {
  const name = table.metadataLocation.slice(table.metadataLocation.lastIndexOf('/') + 1)
  return `"${name.replaceAll(/[^\w.-]/g, '_')}-${mode}"`
}

function isMatch(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((one) => {
    const value = one.trim().replace(/^W\//, '')
    return value === '*' || value === etag
  })
}

function onlyRefs(metadata: TableMetadata): TableMetadata {
  const kept = new Set(Object.values(metadata.refs).map((ref) => ref.snapshotId))
  return {
    ...metadata,
    snapshots: metadata.snapshots.filter((snapshot) => kept.has(snapshot.snapshotId)),
  }
}
