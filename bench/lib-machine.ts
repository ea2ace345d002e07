/** What a figure must name: machine, versions, date. And what a process has used. */
import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'

export function machine(): string {
  return `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, ${process.platform}`
}

/** Linux: CPU seconds and peak resident memory of another process, threads included. */
export function usageOf(pid: number): { cpuSeconds: number; rssPeakMib: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return { cpuSeconds: ticks / 100, rssPeakMib: Math.round(Number(peak ?? 0) / 1024) }
}
