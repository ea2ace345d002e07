/** Whether an MQTT broker answers: any CONNACK will do, that of a refusal, too. */
import { portAnswers } from '../servers/port-answers.ts'

/** MQTT 3.1.1 §3.1: protocol name and level, clean session, 60 s, and a client id of no characters. */
const connectPacket = Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0x02, 0, 60, 0, 0])
const connackType = 0x20

export async function mqttAnswers(port: number): Promise<boolean> {
  return await portAnswers(port, connectPacket, (answer) => answer[0] === connackType)
}
