/** Whether an MQTT broker answers: any CONNACK will do, that of a refusal, too. */
import { connect } from 'node:net'

const answerMsMax = 2_000

/** MQTT 3.1.1 §3.1: protocol name and level, clean session, 60 s, and a client id of no characters. */
const connectPacket = Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0x02, 0, 60, 0, 0])
const connackType = 0x20

export async function mqttAnswers(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    const end = (answered: boolean): void => {
      resolve(answered)
      socket.destroy()
    }
    socket.setTimeout(answerMsMax, () => end(false))
    socket.once('error', () => end(false))
    socket.once('close', () => end(false))
    socket.once('connect', () => socket.write(connectPacket))
    socket.once('data', (chunk: Buffer) => end(chunk[0] === connackType))
  })
}
