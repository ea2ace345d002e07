import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createDetectionDecoder } from '../../kernel/decode-detection.ts'
import { rejectReasons } from '../../kernel/record-block.ts'
import { createMapping, mappingSchema } from './mapping.ts'

const guide = readFileSync(
  new URL('../../docs/guides/connect-a-camera.md', import.meta.url),
  'utf8',
)

describe('the guide for those who connect cameras', () => {
  it('shows an event that is accepted', () => {
    const event = Buffer.from(/^\{"kvfv_id".*\}(?=')/m.exec(guide)?.[0] ?? '')
    const decoder = createDetectionDecoder()
    expect(decoder.decode(event, 0, event.length, Date.UTC(2025, 3, 6) * 1_000)).toBe(true)
  })

  it('lists every reason of a rejection', () => {
    const listed = [...guide.matchAll(/^\| `([a-z_]+)` \| (?!required|optional)/gm)].map(
      (m) => m[1],
    )
    expect(listed.filter((name) => rejectReasons.includes(name as never))).toEqual([
      ...rejectReasons,
    ])
  })

  it('shows a mapping that is valid, and names all members of one', () => {
    const example = JSON.parse(/```json\n(\{\n {2}"fields"[^`]*)```/.exec(guide)?.[1] ?? '')
    expect(createMapping(example)).not.toBeNull()
    for (const name of Object.keys(mappingSchema.shape)) expect(guide).toContain(`| \`${name}\` |`)
  })
})
