/** What a fault run prints at its end. */
import type { ChaosReport } from './run-chaos.ts'
import { clockText } from './run-chaos.ts'

export function describeRun(report: ChaosReport): string[] {
  const { sent, events, seconds } = report
  const count = (value: number): string => value.toLocaleString('en')
  const listed = (record: Readonly<Record<string, number>>): string =>
    Object.entries(record)
      .map(([name, n]) => `${name} ${count(n)}`)
      .join(', ')
  return [
    '',
    '| fault | times |',
    '|---|---|',
    ...[...report.faults]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([kind, times]) => `| ${kind} | ${times} |`),
    `| **all** | **${report.faultCount}** |`,
    '',
    '| | |',
    '|---|---|',
    `| events sent | ${count(sent.sent)}, ${count(sent.sentAgain)} of them again |`,
    `| acknowledged | ${count(sent.kept)}; outcome never known ${count(sent.maybe)}; in transactions that were not committed ${count(sent.never)} |`,
    `| records in the log | ${count(report.rows.log)} |`,
    `| rows in \`events\` | ${count(report.rows.events)}: ${count(events.distinct)} events, ${count(events.repeatedRows)} rows of events sent again |`,
    `| rows and ranges in \`rejected_events\` | ${count(report.rows.rejected)} |`,
    `| **lost** | **${events.lost}** |`,
    `| **log positions there more than once** | **${events.duplicates}** |`,
    `| windows recomputed and compared | ${count(report.rollups.exactWindows)} exact, ${count(report.rollups.provisionalWindows)} provisional (${count(report.provisionalWindows)} before the last exact run) |`,
    `| answers to cameras | ${listed(report.answers)} |`,
    `| foreign transactions | ${listed(report.transactions)} |`,
    `| lives of potok processes | ${report.lives} |`,
    `| ends that no fault brought about | ${report.ownEnds.length} |`,
    `| judges | ${report.judge}; Java’s console consumer; \`potok verify\` |`,
    `| time | ${clockText(seconds.faults)} of faults, ${clockText(seconds.drain)} until the sinks were at the end of the log, ${clockText(seconds.all)} in all |`,
    `| findings | ${report.findings.length} |`,
    ...report.ownEnds.map((end) => `  ended by itself: ${end}`),
    ...report.findings.map((finding) => `  FINDING ${finding}`),
  ]
}
