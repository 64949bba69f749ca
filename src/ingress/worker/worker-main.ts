import { messageOf } from '../../lib/errors.ts'
import { createSystem } from '../../lib/system.ts'
import { INHERIT_ARGUMENT, WARM_ARGUMENT, WorkerExit } from '../contract/control-protocol.ts'
import { exitStatusOf, runWorker } from './worker.ts'
import { parseWorkerSettings, type WorkerSettings } from './worker-settings.ts'

/** The data plane's process: `node worker-main.ts '<settings as JSON>'`. */
function readSettings(): WorkerSettings {
  try {
    return parseWorkerSettings(process.argv[2])
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`)
    return process.exit(WorkerExit.badSettings)
  }
}

if (process.argv[2] === WARM_ARGUMENT) process.exit(WorkerExit.done)

try {
  await runWorker(readSettings(), createSystem(), process.argv[3] === INHERIT_ARGUMENT)
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`)
  process.exit(exitStatusOf(error))
}
