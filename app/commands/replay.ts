/** `potok replay FILE`: sends a file of events to a running potok, with a progress bar. */
import { readFileSync } from 'node:fs'
import { Option } from 'commander'
import { PotokError } from '../../kernel/errors.ts'
import { readRunning } from '../data-lock.ts'
import { createProgress } from '../progress.ts'
import { type CommandDefinition, note, print, toJson } from './command.ts'
import { createIntakeClient, type IntakeCounts } from './intake-client.ts'
import { openReplaySource, parseReplayMapping } from './replay-source.ts'

export const urlOption = new Option(
  '--url <url>',
  'The potok to send to (default: the one that runs on --data, else http://127.0.0.1:8080)',
)

export const replayCommand: CommandDefinition = {
  usage: 'replay <file>',
  description: 'Send a CSV or NDJSON file (gzip too; - is stdin) to a running potok',
  options: [
    new Option('--mapping <file>', 'JSON file that says where fields, times and units are'),
    urlOption,
    new Option('--gzip', 'Compress what is sent'),
    new Option('--connections <n>', 'Requests under way at a time').default('4'),
  ],
  run: async ({ settings, options, words }) => {
    const file = words[0]
    if (file === undefined)
      throw new PotokError('InvalidInput', 'replay needs a file, or - for stdin')
    const mapping = options['mapping']
    const source = await openReplaySource({
      file,
      stdin: process.stdin,
      ...(typeof mapping === 'string' ? { mapping: parseReplayMapping(readMapping(mapping)) } : {}),
    })
    const progress = createProgress('replay', 'bytes')
    const client = createIntakeClient({
      baseUrl: targetUrl(options['url'], settings.data),
      concurrency: Number(options['connections']),
      gzip: options['gzip'] === true,
      onProgress: () => progress.update(source.readBytes(), source.totalBytes),
      onRetry: (reason, pauseMs) => note(`sending again in ${pauseMs} ms: ${reason}`),
    })
    const startedMs = performance.now()
    try {
      for await (const batch of source.batches()) {
        for (const { kvfvId, line } of batch) {
          const wait = client.add(kvfvId, line)
          if (wait !== undefined) await wait
        }
      }
      const counts = await client.finish()
      progress.done()
      const seconds = (performance.now() - startedMs) / 1000
      print(settings.json ? toJson({ ...counts, seconds }) : describeCounts(counts, seconds))
      return counts.accepted === 0 && counts.rejected > 0 ? 1 : 0
    } finally {
      progress.done()
    }
  },
}

export function targetUrl(given: unknown, data: string): string {
  if (typeof given === 'string') return given
  return readRunning(data)?.url ?? 'http://127.0.0.1:8080'
}

function readMapping(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new PotokError('InvalidInput', `--mapping ${path} can't be read`, { cause })
  }
}

export function describeCounts(counts: IntakeCounts, seconds: number): string {
  const rate = Math.round((counts.accepted + counts.rejected) / Math.max(seconds, 0.001))
  const reasons = Object.entries(counts.rejectedByReason).map(([reason, n]) => `${n} ${reason}`)
  return [
    `${counts.accepted} accepted, ${counts.rejected} rejected in ${seconds.toFixed(1)} s (${rate}/s), ${counts.requests} requests, ${counts.retries} sent again`,
    ...(reasons.length === 0 ? [] : [`rejected: ${reasons.join(', ')} (kept in rejected_events)`]),
    ...counts.rejectedSamples
      .slice(0, 5)
      .map((s) => `  ${s.reason}: ${s.detail}: ${s.line.slice(0, 200)}`),
  ].join('\n')
}
