/** Reports of scans and commits, as engines send them: looked at, so that what is none is told so. */
import {
  arrayField,
  bigintField,
  integerField,
  invalidWire,
  objectField,
  stringField,
  type WireObject,
} from '../iceberg/codec/wire-reader.ts'

/** A report of another type than those of the specification may come from a later client, and is taken. */
export function checkMetricsReport(report: WireObject): void {
  const type = stringField(report, 'report-type')
  if (type !== 'scan-report' && type !== 'commit-report') return
  stringField(report, 'table-name')
  bigintField(report, 'snapshot-id')
  objectField(report, 'metrics')
  if (type === 'commit-report') {
    integerField(report, 'sequence-number')
    stringField(report, 'operation')
    return
  }
  integerField(report, 'schema-id')
  arrayField(report, 'projected-field-ids')
  arrayField(report, 'projected-field-names')
  if (report['filter'] === undefined) throw invalidWire('Cannot parse missing field: filter')
}
