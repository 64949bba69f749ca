import { isAppError } from '../../lib/errors.ts'
import type { ImageSource } from '../registries/image-source.ts'
import { namedBy, type ServiceSummary } from '../services/service-schema.ts'
import type { DeploymentTrigger } from './deployment-schema.ts'
import type { DeploymentImageStore } from './deployment-image-store.ts'

export interface AutoDeployDeps {
  listServices: () => readonly ServiceSummary[]
  store: Pick<DeploymentImageStore, 'findPushed'>
  images: Pick<ImageSource, 'locate' | 'resolve'>
  deploy: (serviceId: string, trigger: DeploymentTrigger) => Promise<unknown>
  /** Told of a service that could not be looked at or deployed; the others are. */
  onError: (error: unknown, service: ServiceSummary) => void
}

/**
 * Makes the body of a worker that deploys what was pushed: it compares where the tags of services with `auto_deploy` lead with what was last
 * deployed for a push, so that a restart between a push and its deployment loses nothing, and the same digest is deployed once.
 */
export function createAutoDeploy(deps: AutoDeployDeps): (signal: AbortSignal) => Promise<void> {
  const look = async (service: ServiceSummary, signal: AbortSignal): Promise<void> => {
    const { source } = service
    if (source.type !== 'external_image' || !source.auto_deploy || !('image' in source)) return
    // Whoever stopped a service does not want a push to start it.
    if (service.desired_state !== 'running') return
    // It throws, too, when the right to pull of whoever set this has gone; the service says so.
    const place = deps.images.locate(service.project_id, namedBy(source))
    if (place.kind !== 'own') return
    const digest = await deps.images.resolve(place, signal).catch(() => undefined)
    if (digest === undefined || deps.store.findPushed(service.id) === digest) return
    await deps.deploy(service.id, { kind: 'push', id: digest })
  }

  return async (signal) => {
    for (const service of deps.listServices()) {
      signal.throwIfAborted()
      try {
        await look(service, signal)
      } catch (error) {
        signal.throwIfAborted()
        // It was deleted meanwhile, or deployments of it are refused for now.
        if (!isAppError(error, 'NOT_FOUND') && !isAppError(error, 'DEPLOYS_FROZEN'))
          deps.onError(error, service)
      }
    }
  }
}
