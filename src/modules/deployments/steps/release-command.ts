import { orAborted } from '../../../lib/abortable.ts'
import { LABELS } from '../../../runtime/labels.ts'
import { type ContainerInfo, ContainerRefused, type Runtime } from '../../../runtime/runtime.ts'
import { networkName, releaseCommandName, releaseCommandSpec } from '../../replicas/container-spec.ts'
import { exitReason } from '../../replicas/exit-reason.ts'
import type { OpenReleaseEnv } from '../release-env.ts'
import { DeploymentFailed, StepAborted, type StepContext, type StepWork } from './step.ts'

export interface ReleaseCommandDeps {
  runtime: Runtime
  openEnv: OpenReleaseEnv
  /** Runs once the transaction has committed. */
  afterCommit: (effect: () => void) => void
  onError: (error: unknown) => void
}

/** When the engine ends a stream of output although the command goes on. */
const LOOK_AGAIN_MS = 500

/**
 * The step that runs the release command, once: its container keeps the exit code until that is recorded, so whoever finds the container
 * goes on from there instead of running the command again.
 */
export function createReleaseCommand(deps: ReleaseCommandDeps): Record<'release_command', StepWork> {
  const { runtime } = deps

  const begin = async (context: StepContext, name: string): Promise<void> => {
    const { deployment, service_name, signal } = context
    const found = await runtime.inspectContainer(name)
    if (found && found.phase !== 'created')
      return context.log('The release command was begun already; its output from the beginning:')
    const network = {
      name: networkName(deployment.project_id),
      labels: { [LABELS.kind]: 'network', [LABELS.project]: deployment.project_id },
    }
    await orAborted(runtime.ensureNetwork(network), signal)
    const env = await deps.openEnv(deployment.id)
    signal.throwIfAborted()
    await orAborted(runtime.ensureContainer(releaseCommandSpec({ service_name, deployment, env })), signal)
    await orAborted(runtime.startContainer(name), signal)
  }

  /** Shows its output as it comes and answers how it ended. */
  const follow = async (context: StepContext, name: string): Promise<ContainerInfo> => {
    const { signal, system, log } = context
    const shown = new Map<string, string>()
    for (let isAgain = false; ; isAgain = true) {
      for await (const { line, stream, ts } of runtime.followLogs(name, { follow: true }, signal)) {
        if (isAgain && ts <= (shown.get(stream) ?? '')) continue
        shown.set(stream, ts)
        log(line, stream)
      }
      signal.throwIfAborted()
      const container = await runtime.inspectContainer(name)
      if (!container)
        throw new DeploymentFailed('The container of the release command was removed by someone else.')
      if (container.phase === 'exited') return container
      await system.sleep(LOOK_AGAIN_MS, signal)
    }
  }

  return {
    release_command: async (context) => {
      const { deployment, signal } = context
      const name = releaseCommandName(deployment.id)
      try {
        await begin(context, name)
        const container = await follow(context, name)
        if (container.exit_code !== 0)
          throw new DeploymentFailed(`The release command ${exitReason(container)}.`)
      } catch (error) {
        const end =
          error instanceof ContainerRefused
            ? new DeploymentFailed(`The release command could not start: ${error.message}`)
            : error
        if (endsIt(end, signal)) await runtime.removeContainer(name)
        throw end
      }
      context.log('The release command succeeded.')
      return () => deps.afterCommit(() => void runtime.removeContainer(name).catch(deps.onError))
    },
  }
}

/** A daemon that stops leaves it to the next one, and an engine that went away may have it still: what succeeds meanwhile is not run again. */
function endsIt(error: unknown, signal: AbortSignal): boolean {
  if (signal.aborted) return !(signal.reason instanceof StepAborted && signal.reason.why === 'shutdown')
  return error instanceof DeploymentFailed
}

/**
 * The body of a worker: removes the containers of release commands whose deployments are over, or past the command, which a crash left
 * behind.
 */
export async function sweepReleaseCommands(
  runtime: Pick<Runtime, 'listContainers' | 'removeContainer'>,
  isInStep: (deploymentId: string) => boolean,
): Promise<void> {
  for (const { name, labels } of await runtime.listContainers({ [LABELS.kind]: 'release_command' }))
    if (!isInStep(labels[LABELS.deployment] ?? '')) await runtime.removeContainer(name)
}
