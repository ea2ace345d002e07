import { describe, expect, it } from 'vitest'
import { parseCamerasFile } from './cameras-file.ts'

const wholeCsv = `kvfv_id,name,road,lat,lon,speed_limit,valid_from,time_zone,lanes
KV1,"Мост, северный",М-7,55.75,37.62,60,2025-04-01,Europe/Moscow,4
KV2,,,,,,,,
`

describe('files of cameras', () => {
  it('CSV with all facts, with none, with quotes', () => {
    expect(parseCamerasFile(wholeCsv)).toEqual([
      {
        kvfvId: 'KV1',
        name: 'Мост, северный',
        road: 'М-7',
        latitude: 55.75,
        longitude: 37.62,
        speedLimit: 60,
        validFromUs: Date.UTC(2025, 3, 1) * 1_000,
        timeZone: 'Europe/Moscow',
        lanes: 4,
      },
      {
        kvfvId: 'KV2',
        name: null,
        road: null,
        latitude: null,
        longitude: null,
        speedLimit: null,
        validFromUs: null,
        timeZone: null,
        lanes: null,
      },
    ])
  })

  it('CSV with semicolons, a byte order mark, Windows line ends, other names', () => {
    const rows = parseCamerasFile('\uFEFFCamera ID;Lanes\r\nKV1;2\r\n007;1\r\n')
    expect(rows.map(({ kvfvId, lanes }) => [kvfvId, lanes])).toEqual([
      ['KV1', 2],
      ['007', 1],
    ])
  })

  it('GeoJSON: a point per camera', () => {
    const text = JSON.stringify({
      type: 'FeatureCollection',
      features: [
        {
          type: 'Feature',
          geometry: { type: 'Point', coordinates: [37.62, 55.75, 120] },
          properties: { kvfv_id: 'KV1', name: 'A', speed_limit: 60 },
        },
        { type: 'Feature', id: 17, geometry: null, properties: null },
      ],
    })
    expect(parseCamerasFile(text)).toMatchObject([
      { kvfvId: 'KV1', name: 'A', speedLimit: 60, latitude: 55.75, longitude: 37.62 },
      { kvfvId: '17', latitude: null },
    ])
  })

  it.each([
    ['kvfv_id,lanes\nKV1,2\nKV2,two\n', 'line 3: field lanes ("two")'],
    ['kvfv_id,speed_limit\nKV1,-5\n', 'line 2: field speed_limit (-5)'],
    ['kvfv_id,lanes\nKV1\n', 'line 2: 1 fields, the header has 2'],
    ['kvfv_id\n""\n', 'line 2: field kvfv_id'],
    ['kvfv_id,time_zone\nKV1,Mars\n', 'line 2: field time_zone is "Mars"'],
    ['kvfv_id,valid_from\nKV1,2025-04-01T10:00:00\n', 'line 2: field valid_from'],
    ['kvfv_id,lat\nKV1,10\n', 'line 2: field latitude and longitude'],
    ['kvfv_id,speed_limt\nKV1,10\n', 'line 1: unknown column "speed_limt"'],
    ['name\nA\n', 'line 1: no column kvfv_id'],
    ['id,kvfv_id\n1,2\n', 'comes twice'],
    ['kvfv_id\n', 'no camera'],
    ['', 'empty'],
    ['{"type":"Feature"}', 'expected a FeatureCollection'],
    ['{"type":', 'not JSON'],
    [
      '{"type":"FeatureCollection","features":[{"geometry":{"type":"LineString","coordinates":[]},"properties":{"kvfv_id":"A"}}]}',
      'feature 1: geometry is LineString',
    ],
    [
      '{"type":"FeatureCollection","features":[{"geometry":null,"properties":{"kvfv_id":"A"}},{"geometry":null,"properties":{"lanes":1}}]}',
      'feature 2: field kvfv_id',
    ],
  ])('%j is refused: %s', (text, words) => {
    expect(() => parseCamerasFile(text)).toThrow(words)
  })

  it('tells all errors at once, twenty at most', () => {
    const rows = Array.from({ length: 30 }, (_, i) => `KV${i},x`)
    expect(() => parseCamerasFile(`kvfv_id,lanes\n${rows.join('\n')}`)).toThrow(
      /line 2: [\s\S]*line 21: [\s\S]*and 10 more/,
    )
  })
})
