/** Writes lines into the log of a deployment until it is killed, and tells how many are flushed. */
import { createSystem } from '../../../src/lib/system.ts'
import { createDeploymentLogs } from '../../../src/modules/logs/deployment-logs.ts'

const [dataDir = '', id = ''] = process.argv.slice(2)
const logs = createDeploymentLogs({
  dataDir,
  system: createSystem(),
  stateOf: () => ({ status: 'Building', is_over: false }),
  onError: (error) => {
    throw error
  },
})
for (let index = 0; ; index += 1) {
  logs.append(id, { step: 'build', stream: 'stdout', line: `line ${index + 1} ${'x'.repeat(index % 300)}` })
  if (index % 100 !== 99) continue
  await logs.flush(id)
  process.send?.(index + 1)
}
