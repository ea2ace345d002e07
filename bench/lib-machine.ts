/** What a figure must name: machine, versions, date. And what a process has used. */
import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'

export function machine(): string {
  return `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, ${process.platform}`
}

/**
 * Linux: CPU seconds and memory of another process, threads included. The peak of resident memory counts
 * mapped pages of the log too, which the kernel takes back when it needs them; `anonymousMib` does not.
 */
export function usageOf(pid: number): {
  cpuSeconds: number
  rssPeakMib: number
  anonymousMib: number
} {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mib = (name: string) =>
    Math.round(Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024)
  return { cpuSeconds: ticks / 100, rssPeakMib: mib('VmHWM'), anonymousMib: mib('RssAnon') }
}
