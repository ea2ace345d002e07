import { describe, expect, it } from 'vitest'
import { flagOf, readSettings, variableOf, warehouseLocation } from './settings.ts'

describe('settings', () => {
  it('have one name as flag and as variable', () => {
    expect(flagOf('logPartitions')).toBe('--log-partitions')
    expect(variableOf('logPartitions')).toBe('POTOK_LOG_PARTITIONS')
  })

  it('take a flag before a variable before the default', () => {
    expect(readSettings({}, {}).port).toBe(8080)
    expect(readSettings({}, { POTOK_PORT: '9000' }).port).toBe(9000)
    expect(readSettings({ port: '9001' }, { POTOK_PORT: '9000' }).port).toBe(9001)
  })

  it('refuse a misspelt variable by its name', () => {
    expect(() => readSettings({}, { POTOK_PROT: '1' })).toThrow(/POTOK_PROT is no setting/)
  })

  it('refuse a bad value by flag and variable', () => {
    expect(() => readSettings({ port: 'many' }, {})).toThrow(/--port \(POTOK_PORT\)/)
  })

  it('refuse a plate policy without its secret', () => {
    expect(() => readSettings({ platePolicy: 'hmac' }, {})).toThrow(/at least 16 characters/)
  })

  it('refuse what this version cannot do, instead of ignoring it', () => {
    expect(() => readSettings({ warehouse: 'hdfs://name/x' }, {})).toThrow(/S3 store/)
  })

  it('refuse an MQTT broker with credentials in its address, and half of a certificate', () => {
    for (const mqttUrl of ['mqtt://me:secret@host', 'host:1883', 'ws://host']) {
      expect(() => readSettings({ mqttUrl }, {})).toThrow(/mqtts:\/\/host:port/)
    }
    expect(() => readSettings({ mqttTlsCertFile: 'a.pem' }, {})).toThrow(/give both or none/)
    expect(() => readSettings({ mqttShare: 'a/b' }, {})).toThrow(/--mqtt-share/)
  })

  it('take a warehouse in an S3 store, in any spelling of the scheme', () => {
    expect(warehouseLocation(readSettings({ warehouse: 's3://bucket/x/' }, {}))).toBe(
      's3://bucket/x',
    )
    expect(warehouseLocation(readSettings({ warehouse: 's3a://bucket' }, {}))).toBe('s3://bucket')
  })

  it('refuse half of the S3 settings', () => {
    expect(() => readSettings({ s3AccessKeyId: 'a' }, {})).toThrow(/give both or none/)
    expect(() => readSettings({ s3Endpoint: 'minio:9000' }, {})).toThrow(/http:\/\/host:port/)
  })

  it('put the warehouse below the data folder unless told otherwise', () => {
    expect(warehouseLocation(readSettings({ data: '/d/p' }, {}))).toBe('file:///d/p/warehouse')
    expect(warehouseLocation(readSettings({ warehouse: 'file:/w/' }, {}))).toBe('file:///w')
    expect(warehouseLocation(readSettings({ data: '/д а' }, {}))).toBe('file:///д а/warehouse')
  })
})
