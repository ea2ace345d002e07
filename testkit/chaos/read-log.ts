/**
 * What the log holds, by Java's own consumer: the reference for what is committed and what is not. The serial of
 * each record, by partition and offset; -1 where it holds no event.
 */
import { topic, type World } from './world.ts'

/** Without a record for so long, it is at the end; joining its group counts, too. */
const stillMs = 20_000

export async function readLog({ kafka }: World): Promise<Map<number, Map<number, number>>> {
  const text = await kafka.tool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
    '--from-beginning',
    `--bootstrap-server=${kafka.brokers}`,
    `--topic=${topic}`,
    '--isolation-level=read_committed',
    `--timeout-ms=${stillMs}`,
    '--formatter-property=print.offset=true',
    '--formatter-property=print.partition=true',
  ])
  const logged = new Map<number, Map<number, number>>()
  for (const [line] of text.matchAll(/^.*$/gm)) {
    const found = /^Partition:(\d+)\tOffset:(\d+)/.exec(line)
    if (found === null) continue
    const records = logged.get(Number(found[1])) ?? new Map<number, number>()
    logged.set(Number(found[1]), records)
    records.set(Number(found[2]), Number(/"serial":(\d+)/.exec(line)?.[1] ?? -1))
  }
  return logged
}
