import { once } from 'node:events'
import type { Readable } from 'node:stream'
import type { ImageInspectInfo } from 'dockerode'
import { AppError } from '../lib/errors.ts'
import type { DockerEngine } from './docker-engine.ts'
import { engineStatusOf } from './docker-errors.ts'
import { readJsonLines } from './json-lines.ts'
import { LABELS } from './labels.ts'
import { mapBounded } from './map-bounded.ts'
import type { ImageInfo, ImportSpec, Runtime } from './runtime.ts'

const INSPECTS_AT_ONCE = 8

type ImageVerbs = Pick<Runtime, 'findImage' | 'importImage' | 'listImages' | 'listTags' | 'removeImage'>

export function createDockerImages({ engine, nodeId }: { engine: DockerEngine; nodeId: string }): ImageVerbs {
  const findImage: ImageVerbs['findImage'] = (reference) =>
    engine.call('inspect image', async (docker) => {
      try {
        return toImageInfo(await docker.getImage(requireReference(reference)).inspect())
      } catch (error) {
        if (engineStatusOf(error) === 404) return undefined
        throw error
      }
    })

  return {
    findImage,

    importImage: (rootfs, image, signal) => importImage(engine, nodeId, rootfs, image, signal),

    listImages: async (labels) => {
      const found = await engine.call('list images', (docker, abortSignal) =>
        docker.listImages({
          abortSignal,
          filters: { label: labelFilter({ ...labels, [LABELS.node]: nodeId }) },
        }),
      )
      const images = await mapBounded(found, INSPECTS_AT_ONCE, (image) => findImage(image.Id))
      return images.filter((image) => image !== undefined)
    },

    listTags: async (prefix) => {
      const found = await engine.call('list tags', (docker, abortSignal) =>
        docker.listImages({ abortSignal }),
      )
      return found.flatMap(({ RepoTags }) => (RepoTags ?? []).filter((tag) => tag.startsWith(prefix)))
    },

    removeImage: (reference) =>
      engine.call('remove image', async (docker, abortSignal) => {
        try {
          await docker.getImage(requireReference(reference)).remove({ abortSignal })
        } catch (error) {
          if (engineStatusOf(error) === 404) return
          if (engineStatusOf(error) === 409)
            throw new AppError('CONFLICT', { message: 'The image is in use.', cause: error })
          throw error
        }
      }),
  }
}

/** The engine's form of "carries all of these labels". */
export function labelFilter(labels: Record<string, string>): string[] {
  return Object.entries(labels).map(([name, value]) => `${name}=${value}`)
}

/** dockerode puts references into paths as they are. */
export function requireReference(reference: string): string {
  if (/^[\w][\w.:/@+-]*$/.test(reference) && !reference.includes('..')) return reference
  throw new AppError('NOT_FOUND', {
    cause: new Error(`not an image reference: ${JSON.stringify(reference)}`),
  })
}

async function importImage(
  engine: DockerEngine,
  nodeId: string,
  rootfs: Readable,
  image: ImportSpec,
  signal: AbortSignal | undefined,
): Promise<string> {
  let sourceError: unknown
  rootfs.once('error', (error) => (sourceError ??= error))
  try {
    const colon = image.tag.lastIndexOf(':')
    const query = {
      fromSrc: '-',
      repo: image.tag.slice(0, colon),
      tag: image.tag.slice(colon + 1),
      changes: importChanges(image, nodeId),
    }
    const answer = await engine.open(
      'import image',
      { method: 'POST', path: '/images/create', query, body: rootfs },
      { timeoutMs: null, signal },
    )
    return await readImportedId(answer)
  } catch (error) {
    signal?.throwIfAborted()
    throw sourceError ?? error
  } finally {
    rootfs.destroy()
  }
}

async function readImportedId(answer: Readable): Promise<string> {
  let id: string | undefined
  try {
    for await (const message of readJsonLines(answer)) {
      if (typeof message['error'] === 'string') throw new Error(`docker: import image: ${message['error']}`)
      if (typeof message['status'] === 'string' && message['status'].startsWith('sha256:'))
        id = message['status']
    }
  } finally {
    if (!answer.closed) {
      answer.destroy()
      await once(answer, 'close')
    }
  }
  if (id === undefined)
    throw new AppError('RUNTIME_UNAVAILABLE', { cause: new Error('docker: import image: no id') })
  return id
}

/** The configuration of an imported image as Dockerfile instructions, the only form that the import call takes. */
export function importChanges(image: ImportSpec, nodeId: string): string[] {
  const labels = { ...image.labels, [LABELS.node]: nodeId }
  return [
    ...Object.entries(labels).map(([name, value]) => `LABEL ${quote(name)}=${quote(value)}`),
    ...Object.entries(image.env).map(([name, value]) => `ENV ${name}=${quote(value)}`),
    ...(image.entrypoint ? [`ENTRYPOINT ${JSON.stringify(image.entrypoint)}`] : []),
    ...(image.cmd ? [`CMD ${JSON.stringify(image.cmd)}`] : []),
    ...(image.workdir ? [`WORKDIR ${quote(image.workdir)}`] : []),
    ...(image.user ? [`USER ${image.user}`] : []),
  ]
}

/** A double-quoted word of a Dockerfile, in which a backslash, a quote and a dollar would mean something. */
function quote(word: string): string {
  return `"${word.replace(/[\\"$]/g, String.raw`\$&`)}"`
}

export function toImageInfo(image: ImageInspectInfo): ImageInfo {
  const config = image.Config
  return {
    id: image.Id,
    tags: image.RepoTags ?? [],
    size_bytes: image.Size,
    labels: config?.Labels ?? {},
    exposed_ports: Object.keys(config?.ExposedPorts ?? {})
      .filter((port) => /^\d+(\/tcp)?$/.test(port))
      .map((port) => Number.parseInt(port, 10))
      .toSorted((a, b) => a - b),
    has_command: [config?.Entrypoint, config?.Cmd].flat().some((word) => word !== null && word !== undefined),
  }
}
