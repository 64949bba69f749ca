import { AppError } from '../../lib/errors.ts'
import { BadImageReference } from '../../lib/image-reference.ts'
import type { Actor } from '../identity/actor.ts'
import type { ServiceSource } from '../services/service-schema.ts'
import type { ImagePlace, ImageSource, NamedImage } from './image-source.ts'
import { UpstreamFailed } from '../../lib/upstream-failed.ts'

export interface ImageCheckDeps {
  images: Pick<ImageSource, 'locate'>
  projectIdOf: (projectName: string) => string | undefined
}

/** What may be said of images by those who name them. */
export function createImageCheck({ images, projectIdOf }: ImageCheckDeps) {
  const invalid = (field: string, message: string): AppError =>
    new AppError('VALIDATION_ERROR', { details: [{ field: `source.${field}`, message }] })

  const locate = (projectId: string, named: NamedImage): ImagePlace => {
    try {
      return images.locate(projectId, named)
    } catch (error) {
      if (error instanceof BadImageReference)
        throw invalid(named.registry_id === null ? 'image' : 'image_ref', error.message)
      if (error instanceof UpstreamFailed)
        throw invalid('registry_id', 'is no external registry of the project')
      throw error
    }
  }

  /** Throws VALIDATION_ERROR unless it is an image that the actor may have: one of this node takes the right to pull it. */
  const requireImage = (actor: Actor, projectId: string, named: NamedImage): ImagePlace => {
    const place = locate(projectId, named)
    if (place.kind === 'own') {
      const owner = projectIdOf(place.repository.split('/', 1)[0] ?? '')
      if (owner === undefined || !actor.can('registry.pull', owner))
        throw invalid('image', 'is in no project of this node that you may pull from')
    }
    return place
  }

  return {
    requireImage,

    /** Throws VALIDATION_ERROR unless the source can be one of the project's services. */
    requireSource: (actor: Actor, projectId: string, source: ServiceSource): void => {
      if (source.type !== 'external_image') return
      const named =
        'image' in source
          ? { image: source.image, registry_id: null }
          : { image: source.image_ref, registry_id: source.registry_id }
      const place = requireImage(actor, projectId, named)
      if (source.auto_deploy && (place.kind !== 'own' || place.tag === null))
        throw invalid('auto_deploy', 'is for images in the registry of this node that are named by a tag')
    },
  }
}
