/** Whether a server on a port of the loopback answers as one of its kind does: one packet there, one back. */
import { connect } from 'node:net'

const answerMsMax = 2_000

export async function portAnswers(
  port: number,
  question: string | Uint8Array,
  isAnswer: (answer: Buffer) => boolean,
): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    const end = (answered: boolean): void => {
      resolve(answered)
      socket.destroy()
    }
    socket.setTimeout(answerMsMax, () => end(false))
    socket.once('error', () => end(false))
    socket.once('close', () => end(false))
    socket.once('connect', () => socket.write(question))
    socket.once('data', (answer: Buffer) => end(isAnswer(answer)))
  })
}
