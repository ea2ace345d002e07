import { answerStoreContract } from './contracts/answer-store.ts'
import { createMemoryAnswerStore } from './memory-answer-store.ts'

answerStoreContract('memory', async () => {
  const store = createMemoryAnswerStore(1_000)
  return { connect: () => store.connect(), valueBytesMax: 1_000, close: async () => {} }
})
