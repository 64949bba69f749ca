import { isAppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { type Env, readEnv } from './env-schema.ts'
import type { NodeSecrets } from './secrets.ts'
import { SopsFileRefused } from './sops/sops-container.ts'
import { MAX_SOPS_BYTES, openInThread } from './sops/sops-opener.ts'

export interface EnvFileDeps {
  secrets: Pick<NodeSecrets, 'identities'>
  system: System
  /** The text of a file below a folder whose contents nobody trusts; undefined when there is none. */
  readText: (directory: string, path: string, maxBytes: number) => Promise<string | undefined>
}

/** Makes what opens a file of variables in a source. What it answers was verified; it throws SopsFileRefused with a sentence for people. */
export function createEnvFiles({ secrets, system, readText }: EnvFileDeps) {
  return async (directory: string, path: string): Promise<Env> => {
    const text = await readText(directory, path, MAX_SOPS_BYTES)
    if (text === undefined) throw new SopsFileRefused(`The source has no file ${path}, which env_file names.`)
    try {
      return readEnv(await openInThread({ path, text }, secrets.identities(), system), 'env_file')
    } catch (error) {
      if (error instanceof SopsFileRefused)
        throw new SopsFileRefused(`The file ${path} cannot be used: ${error.message}.`, { cause: error })
      if (!isAppError(error)) throw error
      const problems = (error.details ?? []).map(({ field, message }) => `${field} ${message}`)
      throw new SopsFileRefused(`The file ${path} cannot be used: ${problems.join('; ')}.`, { cause: error })
    }
  }
}
