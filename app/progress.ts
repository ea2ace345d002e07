/** A progress bar on a terminal, nothing elsewhere. Always on stderr. */
import cliProgress from 'cli-progress'

export type Progress = {
  update(done: number, total: number | null): void
  done(): void
}

export function createProgress(name: string, unit: string): Progress {
  if (!process.stderr.isTTY) return { update: () => undefined, done: () => undefined }
  let bar: cliProgress.SingleBar | null = null
  return {
    update(done, total) {
      if (total === null || total === 0) return
      if (bar === null) {
        bar = new cliProgress.SingleBar(
          {
            format: `${name} [{bar}] {percentage}% {value}/{total} ${unit} {duration_formatted}`,
            stream: process.stderr,
            hideCursor: true,
          },
          cliProgress.Presets.rect,
        )
        bar.start(total, done)
      }
      bar.setTotal(total)
      bar.update(done)
    },
    done() {
      bar?.stop()
      bar = null
    },
  }
}
