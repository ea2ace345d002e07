/**
 * Acknowledgements of one connection in the order in which its messages came, which MQTT demands
 * (MQTT-4.6.0-2), while the messages are taken side by side. After one that was not taken none is
 * acknowledged: its connection ends, and everything after it comes again.
 */
export type AckOrder = (taken: Promise<void>, acknowledge: () => void) => Promise<void>

export function createAckOrder(): AckOrder {
  let last: Promise<void> = Promise.resolve()
  return (taken, acknowledge) => {
    // Heard at once, or a rejection would count as nobody's while an earlier message is still waited for.
    taken.catch(() => undefined)
    const mine = last.then(() => taken).then(acknowledge)
    mine.catch(() => undefined)
    last = mine
    return mine
  }
}
