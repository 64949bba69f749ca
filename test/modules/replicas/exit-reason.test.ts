import { test } from 'tap'
import { exitReason } from '../../../src/modules/replicas/exit-reason.ts'

type Container = Parameters<typeof exitReason>[0]

const TABLE: [container: Partial<Container>, reason: string][] = [
  [{ exit_code: 0 }, 'exited with code 0'],
  [{ exit_code: 1 }, 'exited with code 1'],
  [{ exit_code: 127 }, 'exited with code 127'],
  [{ exit_code: 134 }, 'exited with code 134 (SIGABRT)'],
  [{ exit_code: 139 }, 'exited with code 139 (SIGSEGV)'],
  [{ exit_code: 143 }, 'exited with code 143 (SIGTERM)'],
  [{ exit_code: 255 }, 'exited with code 255'],
  [{ exit_code: 137, oom_killed: true }, 'was killed for using more memory than its limit (exit code 137)'],
  [
    { exit_code: 137 },
    'was killed (exit code 137, SIGKILL), most likely for using more memory than its limit',
  ],
  [{ exit_code: 1, oom_killed: true }, 'exited with code 1'],
  [{ exit_code: 127, error: 'exec: "nope": not found' }, 'could not start: exec: "nope": not found'],
  [{ exit_code: null, error: '' }, 'stopped'],
]

for (const [container, reason] of TABLE) {
  test(`a container with ${JSON.stringify(container)} ${reason}`, async (t) => {
    t.equal(exitReason({ exit_code: null, oom_killed: false, error: null, ...container }), reason)
  })
}
