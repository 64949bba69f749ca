import { AppError, isAppError } from '../../../lib/errors.ts'
import { BadImageReference } from '../../../lib/image-reference.ts'
import type { Runtime } from '../../../runtime/runtime.ts'
import type { Actor } from '../../identity/actor.ts'
import type { ImageCheck } from '../../registries/image-check.ts'
import type { ImagePlace, ImageSource, NamedImage } from '../../registries/image-source.ts'
import { UpstreamFailed } from '../../../lib/upstream-failed.ts'
import { namedBy, pullRightOf, type ServiceRow } from '../../services/service-schema.ts'
import type { DeploymentRow, DeploymentTag } from '../deployment-schema.ts'
import { engineImage } from '../engine-image.ts'
import type { ReleaseLibrary } from '../release-library.ts'
import type { ReleaseSettings } from '../release-settings.ts'
import { releaseTag } from '../release-tag.ts'
import { restoreImage } from '../steps/image-restoration.ts'
import { notePort } from '../steps/port-note.ts'

import { DeploymentFailed, type StepContext } from '../steps/step.ts'
import type { SourceFetcher } from './source-fetch.ts'
import type { Draft } from './source-plan.ts'

export interface ImagePlanDeps {
  settings: ReleaseSettings
  /** What `createImageCheck` answers: both settle on whose right an image of this node is taken. */
  imageCheck: Pick<ImageCheck, 'nameImage' | 'takeImage'>
}

/** Plans deployments of an image that somebody else made. */
export function createImagePlanner(deps: ImagePlanDeps) {
  return async (service: ServiceRow, image: string | undefined, actor: Actor): Promise<Draft> => {
    const { project_id, source } = service
    const named =
      image === undefined
        ? deps.imageCheck.takeImage(actor, project_id, namedByService(service))
        : deps.imageCheck.nameImage(actor, project_id, { image, registry_id: null }, pullRightOf(source))
    const build = deps.settings.buildFor(service, {})
    const settings = await deps.settings.snapshot(service)
    return () => ({
      ...settings,
      source: { type: 'external_image', ...named },
      build,
      skips: ['build', 'publish'],
    })
  }
}

function namedByService({ source }: ServiceRow): NamedImage {
  if (source.type !== 'external_image')
    throw new AppError('VALIDATION_ERROR', {
      details: [
        { field: 'source.image', message: `is needed: the service has a source of type ${source.type}` },
      ],
    })
  return namedBy(source)
}

export interface ImageFetchDeps {
  runtime: Pick<Runtime, 'findImage'>
  images: ImageSource
  library: Pick<ReleaseLibrary, 'pin' | 'restore'>
  setDigest: (deploymentId: string, digest: string) => void
}

/**
 * Brings an image into Berth's own registry and from there into the engine. The digest is recorded before anything is copied: who goes on
 * after a crash takes the same, wherever the tag leads by then.
 */
export function createImageFetcher(deps: ImageFetchDeps): SourceFetcher {
  const { images, library } = deps

  const settle = async (context: StepContext, place: ImagePlace): Promise<string> => {
    const { deployment, signal, log } = context
    if (deployment.digest !== null) return deployment.digest
    const digest = await images.resolve(place, signal)
    deps.setDigest(deployment.id, digest)
    log(`${place.text} is ${digest}.`)
    return digest
  }

  const keep = async (context: StepContext, place: ImagePlace, digest: string): Promise<void> => {
    const { deployment, project_name, service_name, signal, log } = context
    const to = {
      repository: `${project_name}/${service_name}`,
      tag: releaseTag(deployment),
      service_id: deployment.service_id,
      onProgress: (line: string) => log(line),
    }
    const kept = await images.obtain(place, digest, to, signal)
    library.pin(deployment.id, { digest, ...kept })
  }

  return {
    gives: 'image',
    fetch: async (context) => {
      const { deployment, signal } = context
      const { source } = deployment
      if (source.type !== 'external_image') throw new DeploymentFailed('There is no image to fetch.')
      const name = engineImage(context)
      const digest = await failingWell(async () => {
        const place = images.locate(deployment.project_id, source)
        const settled = await settle(context, place)
        await keep(context, place, settled)
        return settled
      })
      const image =
        (await deps.runtime.findImage(name)) ??
        (await restoreImage(library, { id: deployment.id, image: name }, signal))
      notePort(context, image.exposed_ports)
      return { image: name, image_id: image.id, digest }
    },
  }
}

async function failingWell<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof UpstreamFailed || error instanceof BadImageReference)
      throw new DeploymentFailed(`The image cannot be fetched: ${error.message}.`)
    if (isAppError(error, 'MANIFEST_UNKNOWN'))
      throw new DeploymentFailed('The image was deleted from the registry of this node meanwhile.')
    throw error
  }
}

export interface TagLookDeps {
  images: Pick<ImageSource, 'locate' | 'resolve'>
  find: (deploymentId: string) => DeploymentRow | undefined
  setTag: (deploymentId: string, tag: DeploymentTag) => void
}

/** How long a redeployment waits to hear whether its tag has moved. */
const LOOK_MS = 10_000

/** Says in the log of a redeployment and on it whether the tag that its image came by leads elsewhere by now. Never fails. */
export function createTagLook({
  images,
  find,
  setTag,
}: TagLookDeps): (context: StepContext) => Promise<void> {
  return async ({ deployment, signal, log, system }) => {
    if (deployment.source.type !== 'redeploy') return
    const source = find(deployment.source.deployment_id)?.source
    if (source?.type !== 'external_image' || deployment.digest === null) return
    const deadline = new AbortController()
    const cancel = system.later(LOOK_MS, () =>
      deadline.abort(new UpstreamFailed('the registry does not answer')),
    )
    try {
      // Who only deploys the release again is told of another project's tag no more than they may know.
      const { user_id } = deployment.created_by
      const asked = source.pull_right && { pull_right: { ...source.pull_right, user_id } }
      const place = images.locate(deployment.project_id, { ...source, ...asked })
      const now = await images.resolve(place, AbortSignal.any([signal, deadline.signal]))
      setTag(deployment.id, { image: place.text, digest: now })
      log(
        now === deployment.digest
          ? `${place.text} is still ${now}.`
          : `${place.text} has moved: it is ${now} now. Deploy the image, not the release, to take it.`,
      )
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof UpstreamFailed)) throw error
      log(`Whether the tag has moved is not known: ${error.message}.`)
    } finally {
      cancel()
    }
  }
}
