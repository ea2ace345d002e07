/**
 * Finds the packets in an MQTT byte stream by their fixed headers alone, before anything is buffered for
 * them: mqtt-packet has no bound of its own and would collect up to 256 MiB for one packet.
 */
export type FrameScanner = {
  /** What the bytes break, or null. */
  see(bytes: Uint8Array): string | null
  /** Bytes of the packet that has begun and not ended. */
  readonly pendingBytes: number
  readonly packets: number
}

/** Until the first packet (CONNECT) is whole nobody is known: it is small, or it is refused. */
export function createFrameScanner(limits: {
  readonly firstPacketBytesMax: number
  readonly packetBytesMax: number
}): FrameScanner {
  let packets = 0
  let pending = 0
  /** Of the rest of the packet; null while its length is being read. */
  let missing: number | null = null
  let length = 0
  let lengthBytes = -1

  function headerByte(byte: number): string | null {
    pending++
    if (lengthBytes < 0) {
      lengthBytes = 0
      return null
    }
    length += (byte & 0x7f) * 128 ** lengthBytes
    lengthBytes++
    if ((byte & 0x80) !== 0) return lengthBytes < 4 ? null : 'a length of more than four bytes'
    const max = packets === 0 ? limits.firstPacketBytesMax : limits.packetBytesMax
    if (length > max) return `a packet of ${length} bytes, more than ${max}`
    missing = length
    return null
  }

  function finish(): void {
    packets++
    pending = 0
    missing = null
    length = 0
    lengthBytes = -1
  }

  return {
    get pendingBytes() {
      return pending
    },
    get packets() {
      return packets
    },
    see(bytes) {
      let at = 0
      while (at < bytes.length) {
        if (missing === null) {
          const broken = headerByte(bytes[at] as number)
          if (broken !== null) return broken
          at++
        } else {
          const step = Math.min(missing, bytes.length - at)
          missing -= step
          pending += step
          at += step
        }
        if (missing === 0) finish()
      }
      return null
    },
  }
}
