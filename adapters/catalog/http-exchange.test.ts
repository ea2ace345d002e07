import { writeFile, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type HttpExchange, HttpFailure, openHttpExchange } from './http-exchange.ts'

/** Made for this test and good for nothing else. */
const key = `-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIMzu3gO4z8O6GS75K/ExUBdik7ZeI0cBIZBOGApLsGrFoAoGCCqGSM49
AwEHoUQDQgAEBPER2drZimiPbOcRg6MNp/k5pJCkE/qG4FnSjWGra7BkZ/SFXzFa
Cie5g00/9pYtB3Htl13UO/QAPMRubuozPQ==
-----END EC PRIVATE KEY-----`
const certificate = `-----BEGIN CERTIFICATE-----
MIIBaTCCAQ+gAwIBAgIBATAKBggqhkjOPQQDAjAVMRMwEQYDVQQDDApwb3RvayB0
ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAVMRMwEQYDVQQD
DApwb3RvayB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBPER2drZimiP
bOcRg6MNp/k5pJCkE/qG4FnSjWGra7BkZ/SFXzFaCie5g00/9pYtB3Htl13UO/QA
PMRubuozPaNOMEwwDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhv
c3SHBH8AAAEwHQYDVR0OBBYEFMC22L59oShx//rm8wrpaWZxWyiyMAoGCCqGSM49
BAMCA0gAMEUCIA4tDRv8hB+q6TcVH6uptQZJbpWMGZZolnfTzvLnPhEcAiEAsUqg
Cff7uPKQyXfyuXvcTVOYj75JIKWQINs+Qp+1vfs=
-----END CERTIFICATE-----`

let folder: string
let url: URL
const server = createServer({ key, cert: certificate }, (_request, response) => {
  response.end('over TLS')
})

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-tls-'))
  await writeFile(join(folder, 'ca.pem'), certificate)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`)
})
afterAll(async () => {
  server.close()
  server.closeAllConnections()
  await rm(folder, { recursive: true })
})

const open = (more: { caFile?: string } = {}): Promise<HttpExchange> =>
  openHttpExchange({ timeoutMs: 10_000, bodyBytesMax: 1_000, ...more })

it.each([true, false])(
  'trusts a certificate of its own file (fresh connection: %s)',
  async (isFresh) => {
    const exchange = await open({ caFile: join(folder, 'ca.pem') })
    const answer = await exchange.send({ method: 'GET', url, headers: {}, isFresh })
    expect(answer.text).toBe('over TLS')
    exchange.close()
  },
)

it('sends nothing to who is not trusted', async () => {
  const exchange = await open()
  const failure = await exchange
    .send({ method: 'POST', url, headers: {}, body: '{}' })
    .catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(HttpFailure)
  expect(failure).toMatchObject({ isSent: false, message: expect.stringContaining('certificate') })
  exchange.close()
})

it('names a file of certificates that is not there', async () => {
  await expect(open({ caFile: join(folder, 'none.pem') })).rejects.toMatchObject({
    kind: 'InvalidInput',
    message: expect.stringContaining('none.pem'),
  })
})
