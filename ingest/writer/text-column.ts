/**
 * A string column that grows row by row as UTF-8: texts that are bytes already (those of the log) are copied,
 * never decoded. Its memory is used again for the next batch.
 */
import type { Utf8Column } from '../../kernel/columns.ts'

const bytesMin = 64 * 1024
/** Of what one huge batch needed, so much is kept for the next. */
const bytesKeptMax = 128 * 1024 * 1024

export class TextColumn {
  bytes = new Uint8Array(0)
  /** End of the last text: where the next one begins. */
  length = 0
  private rowCount = 0
  private ends = new Uint32Array(0)
  private nulls = new Uint8Array(0)
  private hasNulls = false

  /** Room for so many rows in all, and then for their bytes one by one. */
  reserveRows(capacity: number): void {
    const ends = new Uint32Array(capacity)
    ends.set(this.ends.subarray(0, this.rowCount))
    this.ends = ends
    const nulls = new Uint8Array(capacity)
    nulls.set(this.nulls.subarray(0, this.rowCount))
    this.nulls = nulls
  }

  /** Room for so many further bytes; whoever writes them moves `length` and calls `end`. */
  room(bytes: number): void {
    const needed = this.length + bytes
    if (needed <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(bytesMin, needed, this.bytes.length * 2))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }

  /** The row's text ends at `length`. */
  end(): void {
    this.nulls[this.rowCount] = 0
    this.ends[this.rowCount++] = this.length
  }

  appendBytes(from: Uint8Array, start: number, end: number): void {
    this.room(end - start)
    const { bytes } = this
    let at = this.length
    // A loop: texts are short, and a view of each would cost more than copying them.
    for (let i = start; i < end; i++) bytes[at++] = from[i] as number
    this.length = at
    this.end()
  }

  appendText(text: string | null): void {
    if (text === null) {
      this.end()
      this.nulls[this.rowCount - 1] = 1
      this.hasNulls = true
      return
    }
    this.room(text.length * 3)
    this.length += encoder.encodeInto(text, this.bytes.subarray(this.length)).written
    this.end()
  }

  clear(): void {
    this.rowCount = 0
    this.length = 0
    this.hasNulls = false
    if (this.bytes.length > bytesKeptMax) this.bytes = new Uint8Array(0)
  }

  column(): Utf8Column {
    const ends = this.ends.subarray(0, this.rowCount)
    const bytes = this.bytes.subarray(0, this.length)
    const nulls = this.hasNulls ? { nulls: this.nulls.subarray(0, this.rowCount) } : {}
    return { type: 'utf8', bytes, ends, ...nulls }
  }
}

const encoder = new TextEncoder()
