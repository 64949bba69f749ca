import type { Env } from '../../secrets/env-schema.ts'
import type { OpenReleaseEnv } from '../release-env.ts'
import { DeploymentFailed, type StepContext } from './step.ts'

/**
 * Makes what reads the variables that a service's `build_secrets` names out of the release's own copy. They are hidden in its log with all of
 * its variables.
 */
export function createBuildSecretsReader(deps: { openEnv: OpenReleaseEnv }) {
  return async ({ deployment }: StepContext): Promise<Env> => {
    const { build, id } = deployment
    if (build.build_secrets.length === 0) return {}
    const env = new Map(Object.entries(await deps.openEnv(id)))
    const missing = build.build_secrets.filter((name) => !env.has(name))
    if (missing.length > 0)
      throw new DeploymentFailed(
        `build_secrets names what is no variable of the service: ${missing.join(', ')}. Set it with berth env set, or take its name out.`,
      )
    return Object.fromEntries(build.build_secrets.map((name) => [name, env.get(name) ?? '']))
  }
}
