import {
  DEFAULT_HOST,
  type ImageReference,
  readImagePath,
  readImageReference,
  writeImageReference,
} from '../../lib/image-reference.ts'
import type { System } from '../../lib/system.ts'
import type { ImageWriter } from '../registry/image-writer.ts'
import type { ReleaseImages } from '../registry/release-images.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { PullRight } from '../services/service-schema.ts'
import type { ExternalRegistryRow } from './external-registry-schema.ts'
import type { ExternalRegistryStore } from './external-registry-store.ts'
import { copyImage } from './image-copy.ts'
import { DOCKER_HUB, readEndpoint } from './registry-endpoint.ts'
import type { UpstreamCredentials } from './upstream-auth.ts'
import { UpstreamFailed } from '../../lib/upstream-failed.ts'
import { type AskUpstream } from './upstream-request.ts'
import { createUpstream, type Upstream } from './upstream.ts'

/** An image as a service names it. */
export interface NamedImage {
  /** In full, or what follows the registry's host when there is a registry. */
  image: string
  registry_id: string | null
  /** Settled when it was named (`image-check.ts`); without one it is Docker Hub's unless it names the project itself or this node. */
  pull_right?: PullRight
}

/** Where an image is: in a repository of Berth's own registry, or somewhere else. */
export type ImagePlace =
  | {
      kind: 'own'
      repository: string
      tag: string | null
      digest: string | null
      text: string
      /** On whose right it is taken from another project; null: it is the project's own. */
      pull_right: PullRight | null
    }
  | { kind: 'external'; reference: ImageReference; registry: ExternalRegistryRow | undefined; text: string }

export interface ImageSourceDeps {
  ask: AskUpstream
  system: System
  store: Pick<ExternalRegistryStore, 'find' | 'findWithCredentials'>
  secrets: Pick<Secrets, 'open'>
  images: Pick<ReleaseImages, 'find' | 'grant'>
  writerFor: (repository: string, token: string) => ImageWriter
  /** Whether a host, perhaps with a port, is this node. */
  isOwnHost: (host: string) => boolean
  projectIdOf: (projectName: string) => string | undefined
  /** Whether a user may pull from a project now. */
  mayPull: (userId: string, projectId: string) => boolean
}

/** The right of nobody: an image of this node that no one who may pull it has named. */
const NOBODYS: PullRight = { project_id: '', user_id: null }

/** Finds images by the names that people give them, and brings them into Berth's own registry. */
export type ImageSource = ReturnType<typeof createImageSource>

export function createImageSource(deps: ImageSourceDeps) {
  const { images, system } = deps

  const ownerOf = (repository: string): string | undefined =>
    deps.projectIdOf(repository.split('/', 1)[0] ?? '')

  /** The project of this node that a name speaks of, whoever may know of it. A name without a slash, such as `postgres`, speaks of none. */
  const projectOf = ({ image, registry_id }: NamedImage): string | undefined => {
    if (registry_id !== null || !image.includes('/')) return undefined
    const { host, has_host, repository } = readImageReference(image)
    return has_host && !deps.isOwnHost(host) ? undefined : ownerOf(repository)
  }

  /**
   * Says what a name means. Without a host it is a repository of this node when that was settled or it names the project itself, else one of
   * Docker Hub: which other projects there are does not matter. A registry elsewhere is shown what the project has for it, also when the name
   * alone leads there. Throws BadImageReference, and UpstreamFailed when the registry is gone.
   */
  const locate = (projectId: string, named: NamedImage): ImagePlace => {
    const { image, registry_id, pull_right } = named
    if (registry_id !== null) {
      const registry = deps.store.find(projectId, registry_id)
      if (!registry) throw new UpstreamFailed('the external registry is gone')
      const reference = referenceAt(registry, image)
      return { kind: 'external', reference, registry, text: writeImageReference(reference) }
    }
    const reference = readImageReference(image)
    const { host, has_host, repository, tag, digest } = reference
    const isItsOwn = projectOf(named) === projectId && (pull_right?.project_id ?? projectId) === projectId
    const isOwn = has_host ? deps.isOwnHost(host) : isItsOwn || pull_right !== undefined
    if (!isOwn) {
      const endpoint = readEndpoint(host)
      const registry =
        endpoint === undefined ? undefined : deps.store.findWithCredentials(projectId, endpoint)
      return { kind: 'external', reference, registry, text: writeImageReference(reference) }
    }
    return {
      kind: 'own',
      repository,
      tag,
      digest,
      text: `${repository}${digest === null ? `:${tag}` : `@${digest}`}`,
      pull_right: isItsOwn ? null : (pull_right ?? NOBODYS),
    }
  }

  /** Whether the right on which an image of this node is taken still holds, in the very project that it was given for. */
  const mayTake = (place: ImagePlace): boolean => {
    if (place.kind !== 'own' || place.pull_right === null) return true
    const { project_id, user_id } = place.pull_right
    return ownerOf(place.repository) === project_id && user_id !== null && deps.mayPull(user_id, project_id)
  }

  const requireRight = (place: ImagePlace): void => {
    if (!mayTake(place))
      throw new UpstreamFailed(
        `who named ${place.text} may not pull from its project any more, or the project has gone; someone who may has to name it again`,
      )
  }

  const open = async ({
    reference,
    registry,
  }: Extract<ImagePlace, { kind: 'external' }>): Promise<Upstream> => {
    const endpoint = registry?.endpoint ?? readEndpoint(reference.host)
    if (endpoint === undefined)
      throw new UpstreamFailed(`${reference.host} is no registry that could be asked`)
    return createUpstream({
      ask: deps.ask,
      system,
      endpoint: new URL(endpoint),
      repository: reference.repository,
      credentials: await credentialsOf(registry),
    })
  }

  const credentialsOf = async (registry: ExternalRegistryRow | undefined): Promise<UpstreamCredentials> => {
    if (!registry || registry.credentials_sealed === null) return { kind: 'anonymous' }
    const { username = '', password = '', token = '' } = await deps.secrets.open(registry.credentials_sealed)
    if (registry.auth_kind === 'basic') return { kind: 'basic', username, password }
    if (registry.auth_kind === 'ecr_token') return { kind: 'basic', username: 'AWS', password: token }
    if (registry.auth_kind === 'gar_token')
      return { kind: 'basic', username: 'oauth2accesstoken', password: token }
    return { kind: 'token', token }
  }

  return {
    projectOf,
    locate,
    mayTake,

    /** The digest that a name leads to now. Throws UpstreamFailed, also when the right to pull has gone. */
    resolve: async (place: ImagePlace, signal: AbortSignal): Promise<string> => {
      requireRight(place)
      if (place.kind === 'own') {
        const found = images.find(place.repository, place.digest ?? place.tag ?? '')
        if (!found) throw new UpstreamFailed(`the registry of this node has no ${place.text}`)
        return found.digest
      }
      const { digest, tag } = place.reference
      return digest ?? (await (await open(place)).resolve(tag ?? 'latest', signal))
    },

    /**
     * Has Berth's own registry have the image of that digest; answers under which name. What is here already is not copied. Throws
     * UpstreamFailed, and what the registry refuses.
     */
    obtain: async (
      place: ImagePlace,
      digest: string,
      to: { repository: string; tag: string; service_id: string; onProgress: (line: string) => void },
      signal: AbortSignal,
    ): Promise<{ repository: string; tag?: string }> => {
      requireRight(place)
      if (place.kind === 'own') return { repository: place.repository }
      const writer = deps.writerFor(
        to.repository,
        images.grant(to.repository, ['pull', 'push'], to.service_id),
      )
      const platform = { os: 'linux', architecture: ARCHITECTURES[process.arch] ?? process.arch }
      const { tag, repository, onProgress } = to
      await copyImage({ upstream: await open(place), digest, to: writer, tag, platform, onProgress }, signal)
      return { repository, tag }
    },
  }
}

/** What a name means at a registry. Docker Hub has its own images below `library`. */
function referenceAt({ endpoint }: ExternalRegistryRow, image: string): ImageReference {
  const path = readImagePath(image)
  return endpoint === DOCKER_HUB
    ? readImageReference(`${DEFAULT_HOST}/${image}`)
    : { host: new URL(endpoint).host, has_host: true, ...path }
}

/** Node's words for processors, as images say them. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' }
