/** All subcommands, in the order of the help. */
import { camerasCommand } from './cameras.ts'
import type { CommandDefinition } from './command.ts'
import { configCommand } from './config.ts'
import { demoCommand } from './demo.ts'
import { ingestCommand } from './ingest.ts'
import { recomputeCommand } from './recompute.ts'
import { replayCommand } from './replay.ts'
import { roleCommands } from './roles.ts'
import { simulateCommand } from './simulate.ts'
import { statusCommand } from './status.ts'
import { upCommand } from './up.ts'
import { verifyCommand } from './verify.ts'

export const commands: readonly CommandDefinition[] = [
  upCommand,
  demoCommand,
  replayCommand,
  simulateCommand,
  recomputeCommand,
  verifyCommand,
  statusCommand,
  ingestCommand,
  camerasCommand,
  configCommand,
  ...roleCommands,
]
