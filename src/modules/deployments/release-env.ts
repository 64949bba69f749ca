import type { Env } from '../secrets/env-schema.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { DeploymentStore } from './deployment-store.ts'

/** Opens the variables of a deployment; none when it has none or is gone. Throws what `Secrets.open` throws. */
export type OpenReleaseEnv = (deploymentId: string) => Promise<Env>

/** Makes what opens the variables that a release has for good, which are read only then. */
export function createReleaseEnv(
  store: Pick<DeploymentStore, 'sealedEnvOf'>,
  secrets: Pick<Secrets, 'open'>,
): OpenReleaseEnv {
  return async (deploymentId) => {
    const { env_sealed: sealed } = store.sealedEnvOf(deploymentId)
    return sealed === null ? {} : secrets.open(sealed)
  }
}
