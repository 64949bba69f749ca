import { isDeepStrictEqual } from 'node:util'
import { AppError } from '../../lib/errors.ts'
import { normalizeRelativePath } from '../../lib/relative-path.ts'
import { type ResourceLimits, resolveLimits } from '../projects/resource-limits-schema.ts'
import type { Env } from '../secrets/env-schema.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { ServiceBuild, ServiceConfig, ServiceRow } from '../services/service-schema.ts'
import type { DeploymentRow, SealedEnv } from './deployment-schema.ts'

export interface ReleaseSettingsDeps {
  secrets: Pick<Secrets, 'seal' | 'open'>
  /** What the project gives to each of its services. */
  inherited: (projectId: string) => {
    shared_env_sealed: string | null
    default_resource_limits: ResourceLimits | null
  }
  nodeLimits: Required<ResourceLimits>
}

export type SettingsSnapshot = Pick<DeploymentRow, 'config' | 'inherited_names'> & { env: SealedEnv }

export interface ReleaseSettings {
  /**
   * The service's settings of this moment, with what it inherits, for good. `fileEnvSealed` is what a file in the source said when it was last
   * read, for a release that is made without its source.
   */
  snapshot(service: ServiceRow, fileEnvSealed?: string | null): Promise<SettingsSnapshot>
  /** What of these settings is another than before: the names of fields, and `env` for all variables together. */
  differences(before: SettingsSnapshot, now: SettingsSnapshot): Promise<string[]>
  /** How the image is made: what the request names goes before what the service says. */
  buildFor(service: ServiceRow, request: { dockerfile_path?: string; context_path?: string }): ServiceBuild
}

/** Makes the unchanging copies of settings that a release keeps. */
export function createReleaseSettings(deps: ReleaseSettingsDeps): ReleaseSettings {
  const openEnv = async ({ env: { env_sealed: sealed } }: SettingsSnapshot): Promise<Env> =>
    sealed === null ? {} : deps.secrets.open(sealed)
  return {
    snapshot: async (service, fileEnvSealed = null) => {
      const inherited = deps.inherited(service.project_id)
      const shared =
        inherited.shared_env_sealed === null ? {} : await deps.secrets.open(inherited.shared_env_sealed)
      const own = service.env_sealed === null ? {} : await deps.secrets.open(service.env_sealed)
      const file = fileEnvSealed === null ? {} : await deps.secrets.open(fileEnvSealed)
      const env = { ...shared, ...file, ...own }
      return {
        config: {
          ...service.config,
          resource_limits: resolveLimits(
            service.config.resource_limits,
            inherited.default_resource_limits,
            deps.nodeLimits,
          ),
        },
        env: {
          env_sealed: Object.keys(env).length === 0 ? null : await deps.secrets.seal(env),
          file_env_sealed: fileEnvSealed,
        },
        inherited_names: Object.keys(shared).filter((name) => !(name in own)),
      }
    },

    differences: async (before, now) => {
      const fields = Object.entries(now.config).filter(
        ([field, value]) => !isDeepStrictEqual(value, before.config[field as keyof ServiceConfig]),
      )
      const [old, present] = await Promise.all([openEnv(before), openEnv(now)])
      const isSame = isDeepStrictEqual({ ...old }, { ...present })
      return [...fields.map(([field]) => field), ...(isSame ? [] : ['env'])]
    },

    buildFor: ({ build }, request) => {
      const { dockerfile_path, context_path } = request
      if (dockerfile_path !== undefined && !['auto', 'dockerfile'].includes(build.builder))
        throw invalid('dockerfile_path', `acts only with builder auto or dockerfile, not ${build.builder}`)
      return {
        ...build,
        ...(dockerfile_path !== undefined && {
          dockerfile_path: readPath('dockerfile_path', dockerfile_path),
          builder: 'dockerfile',
        }),
        ...(context_path !== undefined && { context_path: readPath('context_path', context_path) }),
      }
    },
  }
}

function readPath(field: 'dockerfile_path' | 'context_path', given: string): string | null {
  const path = normalizeRelativePath(given)
  if (path === undefined || (path === '' && field === 'dockerfile_path'))
    throw invalid(field, 'must be a path inside the source: relative, without .. and control characters')
  return path === '' ? null : path
}

function invalid(field: string, message: string): AppError {
  return new AppError('VALIDATION_ERROR', { details: [{ field: `source.${field}`, message }] })
}
