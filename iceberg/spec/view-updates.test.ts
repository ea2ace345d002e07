import { describe, expect, it } from 'vitest'
import type { Schema } from './table-metadata.ts'
import type { ViewMetadata, ViewUpdate, ViewVersion } from './view-metadata.ts'
import { applyViewUpdates, newViewMetadata } from './view-updates.ts'

const nowMs = 1_000_000
const schema: Schema = {
  type: 'struct',
  schemaId: 0,
  fields: [{ id: 1, name: 'id', required: true, type: 'long' }],
}

function versionOf(sql: string, dialects: readonly string[] = ['spark']): ViewVersion {
  return {
    versionId: 1,
    schemaId: 0,
    timestampMs: nowMs,
    summary: {},
    representations: dialects.map((dialect) => ({ type: 'sql', sql, dialect })),
    defaultNamespace: ['ns'],
  }
}

function newView(properties: Record<string, string> = {}): ViewMetadata {
  return newViewMetadata(
    {
      uuid: 'u',
      location: 'file:///w/v',
      schema: { ...schema, schemaId: 7 },
      viewVersion: versionOf('select 1'),
      properties,
    },
    nowMs,
  )
}

function replaceBy(version: ViewVersion): ViewUpdate[] {
  return [
    { action: 'add-view-version', viewVersion: version },
    { action: 'set-current-view-version', viewVersionId: -1 },
  ]
}

function withVersions(count: number, properties: Record<string, string> = {}): ViewMetadata {
  let view = newView(properties)
  for (let i = 2; i <= count; i++) {
    view = applyViewUpdates(view, replaceBy(versionOf(`select ${i}`)), nowMs + i)
  }
  return view
}

const idsOf = (view: ViewMetadata): number[] => view.versions.map((one) => one.versionId)
const logOf = (view: ViewMetadata): number[] => view.versionLog.map((one) => one.versionId)

describe('a view', () => {
  it('begins with version 1 of schema 0', () => {
    expect(newView()).toMatchObject({
      currentVersionId: 1,
      schemas: [{ schemaId: 0 }],
      versions: [{ versionId: 1, schemaId: 0 }],
    })
  })

  it('finds a version again that it has had, and dates the return by the clock', () => {
    const view = withVersions(2)
    const back = applyViewUpdates(view, replaceBy(versionOf('select 1')), nowMs + 50)
    expect(idsOf(back)).toEqual([1, 2])
    expect(back.versionLog.at(-1)).toEqual({ versionId: 1, timestampMs: nowMs + 50 })
  })

  it('logs once what a change makes current, however often it changes its mind', () => {
    const view = applyViewUpdates(
      newView(),
      [...replaceBy(versionOf('select 2')), ...replaceBy(versionOf('select 3'))],
      nowMs,
    )
    expect(logOf(view)).toEqual([1, 3])
  })

  it('is the same object where nothing changes', () => {
    const view = newView({ a: 'b' })
    const updates: ViewUpdate[] = [
      { action: 'set-properties', updates: { a: 'b' } },
      { action: 'assign-uuid', uuid: 'u' },
      { action: 'upgrade-format-version', formatVersion: 1 },
    ]
    expect(applyViewUpdates(view, updates, nowMs)).toBe(view)
  })
})

describe('the history', () => {
  it('keeps as many versions as the view wants, and the log after the last gap', () => {
    const view = withVersions(4, { 'version.history.num-entries': '2' })
    expect(idsOf(view)).toEqual([3, 4])
    expect(logOf(view)).toEqual([3, 4])
  })

  it('keeps the current version, though others are newer', () => {
    const view = applyViewUpdates(
      withVersions(3),
      [{ action: 'set-current-view-version', viewVersionId: 1 }],
      nowMs,
    )
    const pruned = applyViewUpdates(
      view,
      [{ action: 'set-properties', updates: { 'version.history.num-entries': '2' } }],
      nowMs,
    )
    expect(idsOf(pruned)).toEqual([1, 3])
    expect(logOf(pruned)).toEqual([3, 1])
  })

  it('keeps all versions that the change adds', () => {
    const updates = ['2', '3', '4'].flatMap((text) => replaceBy(versionOf(`select ${text}`)))
    const view = newView({ 'version.history.num-entries': '1' })
    expect(idsOf(applyViewUpdates(view, updates, nowMs))).toEqual([2, 3, 4])
  })
})

describe('refused is', () => {
  it.each<[string, ViewUpdate[]]>([
    [
      'Invalid view version: Cannot add multiple queries for dialect spark',
      replaceBy(versionOf('x', ['spark', 'SPARK'])),
    ],
    [
      'Cannot add version with unknown schema: 9',
      [{ action: 'add-view-version', viewVersion: { ...versionOf('x'), schemaId: 9 } }],
    ],
    [
      'Cannot set last added schema: no schema has been added',
      [{ action: 'add-view-version', viewVersion: { ...versionOf('x'), schemaId: -1 } }],
    ],
    [
      'Cannot set last version id: no current version id has been set',
      [{ action: 'set-current-view-version', viewVersionId: -1 }],
    ],
    [
      'Cannot set current version to unknown version: 5',
      [{ action: 'set-current-view-version', viewVersionId: 5 }],
    ],
    ['Cannot reassign uuid', [{ action: 'assign-uuid', uuid: 'other' }]],
    ['Cannot downgrade v1 view to v0', [{ action: 'upgrade-format-version', formatVersion: 0 }]],
    [
      'Cannot upgrade view to unsupported format version: v2 (supported: v1)',
      [{ action: 'upgrade-format-version', formatVersion: 2 }],
    ],
    [
      'version.history.num-entries must be positive but was 0',
      [{ action: 'set-properties', updates: { 'version.history.num-entries': '0' } }],
    ],
    [
      'Cannot replace view due to loss of view dialects (replace.drop-dialect.allowed=false)',
      replaceBy(versionOf('x', ['trino'])),
    ],
  ])('%s', (message, updates) => {
    expect(() => applyViewUpdates(newView(), updates, nowMs)).toThrow(message)
  })

  it('no loss of a dialect where the view allows it', () => {
    const view = newView({ 'replace.drop-dialect.allowed': 'true' })
    expect(
      applyViewUpdates(view, replaceBy(versionOf('x', ['trino'])), nowMs).currentVersionId,
    ).toBe(2)
  })
})
