/** The inside of a role's thread: composes the role, runs it, tells its health. */
import { parentPort, workerData } from 'node:worker_threads'
import { describeError } from '../kernel/errors.ts'
import { openInstallation } from './installation.ts'
import type { ThreadMessage, ThreadRequest } from './role-thread.ts'
import { createRole, type ThreadRole } from './roles.ts'
import type { Settings } from './settings.ts'

const port = parentPort
if (port === null) throw new Error('this file runs as a worker thread')
const { role, settings } = workerData as { role: ThreadRole; settings: Settings }
const tell = (message: ThreadMessage) => port.postMessage(message)

try {
  const installation = openInstallation(settings, role)
  const service = await createRole(role, installation)
  await service.start()
  tell({ type: 'health', health: service.health() })
  tell({ type: 'started' })
  const timer = setInterval(() => tell({ type: 'health', health: service.health() }), 500)
  port.on('message', (request: ThreadRequest) => {
    clearInterval(timer)
    service
      .stop(request.deadlineMs)
      .catch((error: unknown) => {
        installation.logger.error({ error: describeError(error) }, `${role} did not stop cleanly`)
      })
      .finally(() => tell({ type: 'stopped' }))
  })
} catch (error) {
  tell({ type: 'failed', message: `${role}: ${describeError(error)}` })
}
