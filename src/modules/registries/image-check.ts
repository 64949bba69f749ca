import { AppError } from '../../lib/errors.ts'
import { BadImageReference } from '../../lib/image-reference.ts'
import type { Actor } from '../identity/actor.ts'
import { namedBy, type PullRight, pullRightOf, type ServiceSource } from '../services/service-schema.ts'
import type { ImagePlace, ImageSource, NamedImage } from './image-source.ts'
import { UpstreamFailed } from '../../lib/upstream-failed.ts'

export interface ImageCheckDeps {
  images: Pick<ImageSource, 'locate' | 'projectOf' | 'mayTake'>
}

export type ImageCheck = ReturnType<typeof createImageCheck>

/** What may be said of images by those who name them. */
export function createImageCheck({ images }: ImageCheckDeps) {
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

  const notYours = (): AppError => invalid('image', 'is in no project of this node that you may pull from')

  /** Throws VALIDATION_ERROR for what is no image, and for one of this node that nobody who may has named. */
  const requirePlace = (projectId: string, named: NamedImage): ImagePlace => {
    const place = locate(projectId, named)
    if (place.kind === 'own' && place.pull_right?.project_id === '') throw notYours()
    return place
  }

  /**
   * Settles what a name means for who says it: an image of this node where it names a project that they may pull from, else Docker Hub's, as if
   * there were no such project. Where the image has been of a project of this node (`before`) it never becomes Docker Hub's unnoticed.
   */
  const nameImage = (
    actor: Actor,
    projectId: string,
    named: NamedImage,
    before: PullRight | undefined,
  ): NamedImage => {
    locate(projectId, named)
    const project_id = images.projectOf(named)
    if (project_id !== undefined && actor.can('registry.pull', project_id))
      return { ...named, pull_right: { project_id, user_id: actor.user_id } }
    if (project_id !== undefined && [projectId, before?.project_id].includes(project_id)) throw notYours()
    requirePlace(projectId, named)
    return named
  }

  /** The same for a source that is sent as it is already: it keeps its meaning, and whoever may takes it on their own right. */
  const nameAgain = (actor: Actor, projectId: string, named: NamedImage): NamedImage => {
    if (locate(projectId, named).kind === 'external') return named
    const project_id = images.projectOf(named)
    if (project_id === undefined || !actor.can('registry.pull', project_id)) return named
    return { ...named, pull_right: { project_id, user_id: actor.user_id } }
  }

  return {
    nameImage,

    /**
     * Of an image that a service has: throws VALIDATION_ERROR unless the actor may pull it, too. Berth itself acts on the right of who named it,
     * which is looked at when the image is fetched.
     */
    takeImage: (actor: Actor, projectId: string, named: NamedImage): NamedImage => {
      const place = requirePlace(projectId, named)
      if (place.kind === 'external') return named
      const project_id = images.projectOf(named)
      const isThere = project_id === (place.pull_right?.project_id ?? projectId)
      if (project_id === undefined || !isThere || !actor.can('registry.pull', project_id)) throw notYours()
      return {
        ...named,
        pull_right: { project_id, user_id: actor.user_id ?? place.pull_right?.user_id ?? null },
      }
    },

    /** The source as one of the project's services has it. Throws VALIDATION_ERROR unless it can be one and the actor may name it. */
    settleSource: (
      actor: Actor,
      projectId: string,
      source: ServiceSource,
      before: ServiceSource | undefined,
    ): ServiceSource => {
      if (source.type !== 'external_image') return source
      const right = before && pullRightOf(before)
      const settled = isSame(source, before)
        ? nameAgain(actor, projectId, { ...namedBy(source), ...(right && { pull_right: right }) })
        : nameImage(actor, projectId, namedBy(source), right)
      const place = requirePlace(projectId, settled)
      if (source.auto_deploy && (place.kind !== 'own' || place.tag === null))
        throw invalid('auto_deploy', 'is for images in the registry of this node that are named by a tag')
      return 'image' in source && settled.pull_right ? { ...source, pull_right: settled.pull_right } : source
    },

    /** For people: why the image of a service is not deployed any more; undefined when nothing is known to keep it. */
    noteOn: (projectId: string, source: ServiceSource): string | undefined => {
      if (pullRightOf(source) === undefined || source.type !== 'external_image') return undefined
      const place = locate(projectId, namedBy(source))
      if (images.mayTake(place)) return undefined
      return `${source.auto_deploy ? 'Pushes of its image' : 'New images'} are not deployed: who named ${place.text} may not pull from its project any more, or the project has gone. Someone who may pull it sends the source again.`
    },
  }
}

function isSame(sent: ServiceSource, before: ServiceSource | undefined): boolean {
  const bare = (source: ServiceSource | undefined): string =>
    JSON.stringify({ ...source, pull_right: undefined })
  return bare(sent) === bare(before)
}
