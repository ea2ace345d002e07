import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createGenerationFile } from './generation-file.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-generation-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

it('keeps the highest generation of each warehouse, and leaves no other file behind', async () => {
  const file = createGenerationFile(folder, 'file:///a')
  expect(await file.recall()).toEqual([])
  await file.remember({ warehouseId: 'x', generation: 5 })
  await file.remember({ warehouseId: 'x', generation: 3 })
  const other = createGenerationFile(folder, 's3://b/c')
  await other.remember({ warehouseId: 'y', generation: 1 })
  expect(await file.recall()).toEqual([{ warehouseId: 'x', generation: 5 }])
  expect(await other.recall()).toEqual([{ warehouseId: 'y', generation: 1 }])
  expect(await readdir(folder)).toEqual(['catalog-generation.json'])
})

it('begins anew with another catalog in the same warehouse', async () => {
  const file = createGenerationFile(folder, 'file:///a')
  await file.remember({ warehouseId: 'x', generation: 5 })
  await file.remember({ warehouseId: 'z', generation: 1 })
  expect(await file.recall()).toEqual([{ warehouseId: 'z', generation: 1 }])
})

it('takes a file that is no JSON for one that says nothing', async () => {
  const path = join(folder, 'catalog-generation.json')
  await writeFile(path, '{"file')
  const file = createGenerationFile(folder, 'file:///a')
  expect(await file.recall()).toEqual([])
  await file.remember({ warehouseId: 'x', generation: 5 })
  expect(JSON.parse(await readFile(path, 'utf8'))).toHaveProperty('file:///a')
})
