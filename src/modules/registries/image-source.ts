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
}

/** Where an image is: in a repository of Berth's own registry, or somewhere else. */
export type ImagePlace =
  | { kind: 'own'; repository: string; tag: string | null; digest: string | null; text: string }
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
  hasProject: (name: string) => boolean
}

/** Finds images by the names that people give them, and brings them into Berth's own registry. */
export type ImageSource = ReturnType<typeof createImageSource>

export function createImageSource(deps: ImageSourceDeps) {
  const { images, system } = deps

  /**
   * Says what a name means. Without a host it is a repository of this node when there is such a project, else one of Docker Hub. A registry
   * elsewhere is shown what the project has for it, also when the name alone leads there. Throws BadImageReference, and UpstreamFailed when the
   * registry is gone.
   */
  const locate = (projectId: string, { image, registry_id }: NamedImage): ImagePlace => {
    if (registry_id !== null) {
      const registry = deps.store.find(projectId, registry_id)
      if (!registry) throw new UpstreamFailed('the external registry is gone')
      const reference = referenceAt(registry, image)
      return { kind: 'external', reference, registry, text: writeImageReference(reference) }
    }
    const reference = readImageReference(image)
    const { host, has_host, repository, tag, digest } = reference
    const isOwn = has_host ? deps.isOwnHost(host) : deps.hasProject(repository.split('/', 1)[0] ?? '')
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
    }
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
    locate,

    /** The digest that a name leads to now. Throws UpstreamFailed. */
    resolve: async (place: ImagePlace, signal: AbortSignal): Promise<string> => {
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
