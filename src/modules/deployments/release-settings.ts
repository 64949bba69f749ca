import { AppError } from '../../lib/errors.ts'
import type { ResourceLimits } from '../projects/resource-limits-schema.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { ServiceBuild, ServiceConfig, ServiceRow } from '../services/service-schema.ts'

export interface ReleaseSettingsDeps {
  secrets: Pick<Secrets, 'seal' | 'open'>
  /** What the project gives to each of its services. */
  inherited: (projectId: string) => {
    shared_env_sealed: string | null
    default_resource_limits: ResourceLimits | null
  }
  nodeLimits: ResourceLimits
}

export interface ReleaseSettings {
  /** The service's settings of this moment, with what it inherits, for good. */
  snapshot(service: ServiceRow): Promise<{ config: ServiceConfig; env_sealed: string | null }>
  /** How the image is made: what the request names goes before what the service says. */
  buildFor(service: ServiceRow, request: { dockerfile_path?: string; context_path?: string }): ServiceBuild
}

/** Makes the unchanging copies of settings that a release keeps. */
export function createReleaseSettings(deps: ReleaseSettingsDeps): ReleaseSettings {
  return {
    snapshot: async (service) => {
      const inherited = deps.inherited(service.project_id)
      const shared =
        inherited.shared_env_sealed === null ? {} : await deps.secrets.open(inherited.shared_env_sealed)
      const own = service.env_sealed === null ? {} : await deps.secrets.open(service.env_sealed)
      const env = { ...shared, ...own }
      return {
        config: {
          ...service.config,
          resource_limits: {
            ...deps.nodeLimits,
            ...inherited.default_resource_limits,
            ...service.config.resource_limits,
          },
        },
        env_sealed: Object.keys(env).length === 0 ? null : await deps.secrets.seal(env),
      }
    },

    buildFor: (service, request) => ({
      ...service.build,
      ...(request.dockerfile_path !== undefined && {
        dockerfile_path: requireInside(request.dockerfile_path, 'dockerfile_path'),
        builder: service.build.builder === 'auto' ? ('dockerfile' as const) : service.build.builder,
      }),
      ...(request.context_path !== undefined && {
        context_path: requireInside(request.context_path, 'context_path'),
      }),
    }),
  }
}

function requireInside(path: string, field: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (
    path.startsWith('/') ||
    path.includes('\0') ||
    path.includes('\\') ||
    parts.includes('..') ||
    parts.length === 0
  ) {
    throw new AppError('VALIDATION_ERROR', {
      details: [
        { field: `source.${field}`, message: 'must be a relative path inside the source, without ..' },
      ],
    })
  }
  return parts.join('/')
}
