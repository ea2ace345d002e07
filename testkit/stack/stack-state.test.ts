import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { temporaryFolder } from '../potok-process.ts'
import { isRunning, processIdentity } from './detached-server.ts'
import { envFile, readState, writeEnv, writeState } from './stack-state.ts'

describe('what npm run stack keeps', () => {
  it('gives a shell the values as they were, whatever is in them', () => {
    const folder = temporaryFolder('stack-env')
    const values = { A: 'it\'s $HOME `x` \\ "q"', B: 's3://lake/warehouse', C: '', D: 'a b' }
    writeState(folder.path, { ports: {}, servers: {} })
    writeEnv(folder.path, values)
    const script = `set -a; . '${envFile(folder.path)}'; "$0" -p 'JSON.stringify(process.env)'`
    const env = JSON.parse(
      execFileSync('sh', ['-c', script, process.execPath], { encoding: 'utf8' }),
    ) as Record<string, string>
    expect({ A: env['A'], B: env['B'], C: env['C'], D: env['D'] }).toEqual(values)
    folder.remove()
  })

  it('is read as it was written, and nothing where nothing was', () => {
    const folder = temporaryFolder('stack-state')
    expect(readState(folder.path)).toEqual({ ports: {}, servers: {} })
    const state = { ports: { kafka: 9092 }, servers: { kafka: { pid: 7, identity: 'x 1' } } }
    writeState(folder.path, state)
    expect(readState(folder.path)).toEqual(state)
    folder.remove()
  })

  it('tells a process from a later one of the same pid, and from its own remains', async () => {
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'])
    const pid = child.pid as number
    const identity = processIdentity(pid) as string
    expect(isRunning({ pid, identity })).toBe(true)
    expect(isRunning({ pid, identity: processIdentity(process.pid) as string })).toBe(false)
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(isRunning({ pid, identity })).toBe(false)
  })
})
