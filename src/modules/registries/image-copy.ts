import type { IncomingMessage } from 'node:http'
import { DIGEST } from '../../lib/image-reference.ts'
import type { ImageWriter } from '../registry/image-writer.ts'
import type { Upstream, UpstreamManifest } from './upstream.ts'
import { UpstreamFailed } from '../../lib/upstream-failed.ts'

export interface ImageCopyRequest {
  upstream: Upstream
  digest: string
  to: ImageWriter
  /** The tag that it gets here. */
  tag: string
  /** As images name them: `linux`, `amd64`. */
  platform: { os: string; architecture: string }
  onProgress: (line: string) => void
}

interface Descriptor {
  digest: string
  size: number
  mediaType?: string
  platform?: { os?: string; architecture?: string; variant?: string }
}

const INDEXES = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
])
const IMAGES = new Set([
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
])
const BLOBS_AT_ONCE = 3
const MAX_DEPTH = 3
const ATTEMPTS = 3

/**
 * Copies an image byte for byte, of an index only what this node can run; whoever asks for the index here gets the very digest that it has
 * there. Every blob is checked by its digest as it arrives. What is here already is not fetched. Throws UpstreamFailed.
 */
export async function copyImage(request: ImageCopyRequest, signal: AbortSignal): Promise<void> {
  const manifest = await request.upstream.fetchManifest(request.digest, signal)
  await copyManifest(request, manifest, [request.tag], 0, signal)
}

async function copyManifest(
  request: ImageCopyRequest,
  manifest: UpstreamManifest,
  tags: string[],
  depth: number,
  signal: AbortSignal,
): Promise<void> {
  const document = parse(manifest.bytes)
  const media_type = manifest.media_type || (document.mediaType ?? '')
  if (INDEXES.has(media_type)) {
    if (depth === MAX_DEPTH) throw new UpstreamFailed('the image is an index of indexes of indexes')
    for (const child of choose(document.manifests ?? [], request.platform)) {
      const found = await request.upstream.fetchManifest(child.digest, signal)
      await copyManifest(request, found, [], depth + 1, signal)
    }
  } else if (IMAGES.has(media_type)) {
    await copyBlobs(
      request,
      [...(document.config ? [document.config] : []), ...(document.layers ?? [])],
      signal,
    )
  } else {
    throw new UpstreamFailed(
      `the image has a manifest of a kind that is not supported: ${media_type || 'unknown'}`,
    )
  }
  await request.to.putManifest(manifest.bytes, media_type, manifest.digest, tags)
}

interface Document {
  mediaType?: string
  config?: Descriptor
  layers?: Descriptor[]
  manifests?: Descriptor[]
}

function parse(bytes: Buffer): Document {
  try {
    const document = JSON.parse(bytes.toString()) as unknown
    if (isDocument(document)) return document
  } catch {
    // Told of below.
  }
  throw new UpstreamFailed('the registry answers with what is no manifest')
}

/** Digests become parts of paths here and there, so what is none goes no further. */
function isDocument(value: unknown): value is Document {
  if (typeof value !== 'object' || value === null) return false
  const { config, layers = [], manifests = [] } = value as Record<keyof Document, unknown>
  if (!Array.isArray(layers) || !Array.isArray(manifests)) return false
  const all: unknown[] = [...(config === undefined ? [] : [config]), ...layers, ...manifests]
  return all.every((each) => {
    const { digest } = (each ?? {}) as Partial<Record<string, unknown>>
    return typeof digest === 'string' && DIGEST.test(digest)
  })
}

/** The entries of an index that run here; of several variants all, so that the engine has its choice. */
function choose(
  entries: readonly Descriptor[],
  { os, architecture }: ImageCopyRequest['platform'],
): Descriptor[] {
  const fit = entries.filter(({ platform }) => platform?.os === os && platform.architecture === architecture)
  if (fit.length > 0) return fit
  const names = entries.flatMap(({ platform }) =>
    platform?.os === undefined || platform.os === 'unknown'
      ? []
      : [`${platform.os}/${platform.architecture}`],
  )
  throw new UpstreamFailed(
    `the image has nothing for ${os}/${architecture}, only for ${[...new Set(names)].slice(0, 20).join(', ') || 'nothing'}`,
  )
}

/** Layers that are to be had elsewhere only. */
function isForeign({ mediaType = '' }: Descriptor): boolean {
  return /\.nondistributable\.|\.foreign\./.test(mediaType)
}

async function copyBlobs(
  request: ImageCopyRequest,
  all: readonly Descriptor[],
  signal: AbortSignal,
): Promise<void> {
  const waiting = [
    ...new Map(all.filter((blob) => !isForeign(blob)).map((blob) => [blob.digest, blob])).values(),
  ]
  const failed = new AbortController()
  const whole = AbortSignal.any([signal, failed.signal])
  const work = async (): Promise<void> => {
    for (let blob = waiting.shift(); blob !== undefined; blob = waiting.shift()) {
      try {
        await copyBlob(request, blob, whole)
      } catch (error) {
        failed.abort(error)
        throw error
      }
    }
  }
  await Promise.allSettled(Array.from({ length: BLOBS_AT_ONCE }, work))
  signal.throwIfAborted()
  failed.signal.throwIfAborted()
}

async function copyBlob(
  { upstream, to, onProgress }: ImageCopyRequest,
  { digest, size }: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  if (await to.hasBlob(digest)) return
  for (let attempt = 1; ; attempt += 1) {
    const body = await upstream.fetchBlob(digest, signal)
    try {
      await writeBlob(to, digest, size, body)
      onProgress(`Fetched ${digest} (${size} bytes).`)
      return
    } catch (error) {
      signal.throwIfAborted()
      const isPassing = error instanceof UpstreamFailed && error.isPassing
      if (!isPassing || attempt === ATTEMPTS) throw error
      onProgress(`${error.message}; trying again.`)
    } finally {
      body.destroy()
    }
  }
}

async function writeBlob(
  to: ImageWriter,
  digest: string,
  size: number,
  body: IncomingMessage,
): Promise<void> {
  const announced = body.headers['content-length']
  if (announced !== undefined && Number(announced) !== size)
    throw new UpstreamFailed(`the registry has ${announced} bytes for ${digest}, which should have ${size}`)
  const outcome = await to.putBlob(digest, body)
  if (outcome === 'cut')
    throw new UpstreamFailed(`the connection broke off in the middle of ${digest}`, { isPassing: true })
  if (outcome === 'other')
    throw new UpstreamFailed(`the registry sends other bytes than ${digest}`, { isPassing: true })
}
