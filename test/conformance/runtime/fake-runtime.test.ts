import { createSystem } from '../../../src/lib/system.ts'
import { createFakeRuntime } from '../../../src/runtime/fake-runtime.ts'
import { contextOf } from '../../support/busybox-image.ts'
import { runtimeConformance, type Program } from './runtime-suite.ts'

runtimeConformance('fake', async () => {
  const system = createSystem()
  const { runtime, controls, engine } = createFakeRuntime({ system, nodeId: 'here' })
  const stranger = createFakeRuntime({ system, nodeId: 'elsewhere', engine }).runtime
  controls.addImage('suite:1')
  controls.program('suite:1', ({ command = [] }) => {
    const { lines = [], exit, sigterm } = JSON.parse(command[0] ?? '{}') as Program
    return { lines, ...(exit === undefined ? {} : { exit: { code: exit } }), ...(sigterm ? { sigterm } : {}) }
  })
  controls.build(({ dockerfile }) => ({
    lines: [{ stream: 'stdout', line: dockerfile === 'hangs' ? 'waiting' : 'built it' }],
    ...(dockerfile === 'fails' ? { fail: 'The step "RUN exit 3" failed with exit code 3.' } : {}),
    ...(dockerfile === 'hangs' ? { until: new Promise<void>(() => {}) } : {}),
  }))
  return {
    runtime,
    stranger,
    system,
    prefix: 'suite',
    image: 'suite:1',
    command: (program) => [JSON.stringify(program)],
    build: async (kind) => ({ dockerfile: kind, context: await contextOf({ [kind]: '' }) }),
  }
})
