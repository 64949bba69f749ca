import type { Test } from 'tap'
import { contextOf } from '../../support/busybox-image.ts'
import { dockerHarness } from '../../support/docker-harness.ts'
import { buildConformance, runtimeConformance, type Program, type RuntimeHarness } from './runtime-suite.ts'

const STEPS = {
  succeeds: 'echo built it',
  fails: 'exit 3',
  hangs: 'echo waiting && sleep 600',
} as const

async function harnessOf(t: Test, classicBuilder: boolean): Promise<RuntimeHarness> {
  const docker = await dockerHarness(t, { classicBuilder })
  return {
    ...docker,
    command: (program) => ['sh', '-c', scriptOf(program)],
    build: async (kind) => ({
      dockerfile: 'Dockerfile',
      // The prefix keeps the step out of the cache of earlier tests.
      context: await contextOf({
        Dockerfile: `FROM ${docker.image}\nRUN : ${docker.prefix} && ${STEPS[kind]}\n`,
      }),
    }),
  }
}

function scriptOf({ lines = [], exit, sigterm }: Program): string {
  const end = exit === undefined ? 'exec sleep 600' : `exit ${exit}`
  return [
    ...(sigterm === 'ignore' ? ["trap '' TERM"] : []),
    ...lines.map(({ stream, line }) => `echo '${line}'${stream === 'stderr' ? ' >&2' : ''}`),
    ...(sigterm === 'ignore' ? ['while :; do sleep 1; done'] : [end]),
  ].join('\n')
}

runtimeConformance('docker', (t) => harnessOf(t, false))
buildConformance('docker with the classic builder', (t) => harnessOf(t, true))
