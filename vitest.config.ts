import { defineConfig } from 'vitest/config'

const folders =
  '{kernel,iceberg,catalog,ingest,rollups,compactor,api,adapters,app,testkit,tools,bench}'

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: [`${folders}/**/*.test.ts`], testTimeout: 20_000 } },
      {
        test: {
          name: 'simulation',
          include: ['tests/simulation/**/*.test.ts'],
          testTimeout: 600_000,
        },
      },
      {
        test: {
          name: 'interop',
          include: ['tests/interop/**/*.test.ts'],
          globalSetup: ['testkit/python-venv.ts'],
          testTimeout: 300_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'stack',
          include: ['tests/stack/**/*.test.ts'],
          globalSetup: ['testkit/python-venv.ts'],
          testTimeout: 300_000,
          // The first run on a machine downloads and builds the servers.
          hookTimeout: 1_800_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.test.ts'],
          globalSetup: ['testkit/python-venv.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'browser',
          include: ['tests/browser/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
