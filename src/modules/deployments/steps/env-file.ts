import { BuildFailed } from '../../../runtime/runtime.ts'
import type { Env } from '../../secrets/env-schema.ts'
import type { Secrets } from '../../secrets/secrets.ts'
import type { SealedEnv } from '../deployment-schema.ts'
import type { OpenReleaseEnv } from '../release-env.ts'
import { DeploymentFailed, type StepContext } from './step.ts'

export interface EnvFileStepDeps {
  secrets: Pick<Secrets, 'seal'>
  openEnv: OpenReleaseEnv
  /** Opens a file of variables in a folder. Throws an error named SopsFileRefused with a sentence for people, or BuildFailed. */
  openEnvFile: (directory: string, path: string) => Promise<Env>
  /** Hides these values in the log of a deployment from now on, with those that are hidden already. */
  maskAlso: (deploymentId: string, values: readonly string[]) => void
}

/**
 * Makes what reads the file of variables that a service's `env_file` names, and puts it where it belongs: before what only the project says, behind
 * what the service says.
 */
export function createEnvFileReader(deps: EnvFileStepDeps) {
  const open = async (directory: string, path: string): Promise<Env> => {
    try {
      return await deps.openEnvFile(directory, path)
    } catch (error) {
      const isTheirs =
        error instanceof BuildFailed || (error instanceof Error && error.name === 'SopsFileRefused')
      throw isTheirs ? new DeploymentFailed(error.message) : error
    }
  }

  return async ({ deployment, log }: StepContext, directory: string): Promise<SealedEnv | undefined> => {
    const path = deployment.build.env_file
    if (path === null) return undefined
    const { PORT: port, ...file } = await open(directory, path)
    deps.maskAlso(deployment.id, Object.values(file))
    if (port !== undefined) log(`Note: PORT in ${path} is left out; it is always internal_port.`)
    const known = await deps.openEnv(deployment.id)
    const inherited = new Set(deployment.inherited_names)
    const own = Object.entries(known).filter(([name]) => !inherited.has(name))
    const env = { ...known, ...file, ...Object.fromEntries(own) }
    log(`Opened ${path}: ${Object.keys(file).length} variables.`)
    return {
      env_sealed: Object.keys(env).length === 0 ? null : await deps.secrets.seal(env),
      file_env_sealed: await deps.secrets.seal(file),
    }
  }
}
