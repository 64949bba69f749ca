import { createHash } from 'node:crypto'
import { AppError, messageOf } from '../lib/errors.ts'
import { addFakeImage, type FakeEngine, findFakeImage } from './fake-engine.ts'
import { type ImageInfo, type ImagePlace, type Runtime, TransferFailed } from './runtime.ts'

const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'

type Ask = (method: string, path: string, body?: string) => Promise<string>

/** The host of a registry that is part of the engine in memory, for tests that have none that listens. */
export const MEMORY_REGISTRY = 'memory'

/**
 * Pushes and pulls against a real registry, or one in memory: what is sent is the image's description, without any layer.
 */
export function createFakeTransfers(engine: FakeEngine): Pick<Runtime, 'pushImage' | 'pullImage'> {
  return {
    pushImage: async (reference, to, signal) => {
      const image = findFakeImage(engine, reference)
      if (!image) throw new AppError('NOT_FOUND')
      if (to.host === MEMORY_REGISTRY) return pushToMemory(engine, image, to)
      const ask = askerOf(to, signal)
      const config = JSON.stringify({ ...image, tags: [] })
      await ask('POST', `blobs/uploads/?digest=${digestOf(config)}`, config)
      const manifest = JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: {
          mediaType: 'application/vnd.docker.container.image.v1+json',
          digest: digestOf(config),
          size: Buffer.byteLength(config),
        },
        layers: [],
      })
      await ask('PUT', `manifests/${to.tag}`, manifest)
      return { digest: digestOf(manifest) }
    },

    pullImage: async (from, tag, signal) => {
      if (from.host === MEMORY_REGISTRY) return pullFromMemory(engine, from, tag)
      const ask = askerOf(from, signal)
      const manifest = JSON.parse(await ask('GET', `manifests/${from.digest}`)) as Manifest
      const config = JSON.parse(
        await ask('GET', `blobs/${await configOf(manifest, ask)}`),
      ) as Partial<ImageInfo>
      // An image that no fake has pushed is known by its configuration's digest, as in the engine.
      return structuredClone(addFakeImage(engine, tag, config.id === undefined ? {} : config))
    },
  }
}

function pushToMemory(
  engine: FakeEngine,
  image: ImageInfo,
  { repository, tag }: ImagePlace & { tag: string },
): { digest: string } {
  const digest = digestOf(image.id)
  engine.pushed.set(`${repository}@${digest}`, structuredClone({ ...image, tags: [] }))
  engine.onPush({ repository, tag, digest })
  return { digest }
}

function pullFromMemory(
  engine: FakeEngine,
  { repository, digest }: ImagePlace & { digest: string },
  tag: string,
): ImageInfo {
  const image = engine.pushed.get(`${repository}@${digest}`)
  if (!image) throw new TransferFailed(`manifest for ${repository}@${digest} not found`)
  return structuredClone(addFakeImage(engine, tag, image))
}

interface Manifest {
  config?: { digest: string }
  manifests?: { digest: string }[]
}

/** The engine picks its platform of an index; here that is the first that the registry has. */
async function configOf(manifest: Manifest, ask: Ask): Promise<string> {
  if (manifest.config) return manifest.config.digest
  for (const { digest } of manifest.manifests ?? []) {
    const child = await ask('GET', `manifests/${digest}`).catch(() => undefined)
    if (child !== undefined) return configOf(JSON.parse(child) as Manifest, ask)
  }
  throw new TransferFailed('no matching manifest in the manifest list entries')
}

function askerOf({ host, repository, token }: ImagePlace, signal: AbortSignal): Ask {
  return async (method, path, body) => {
    const answer = await fetch(`http://${host}/v2/${repository}/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': MANIFEST },
      ...(body !== undefined && { body }),
      signal,
    }).catch((error: unknown) => {
      signal.throwIfAborted()
      throw new TransferFailed(messageOf(error), { cause: error })
    })
    const text = await answer.text()
    if (!answer.ok) throw new TransferFailed(`${answer.status} ${text}`)
    return text
  }
}

function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}
