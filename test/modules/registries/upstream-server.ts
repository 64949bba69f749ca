import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

/** Answers before the registry does; true when it has. */
export type Before = (request: IncomingMessage, response: ServerResponse) => boolean | void

export interface UpstreamServer {
  host: string
  origin: string
  /** What was asked, with the Authorization that was shown. */
  asked: { method: string; url: string; authorization: string | undefined }[]
  manifests: Map<string, { type: string; bytes: Buffer }>
  blobs: Map<string, Buffer>
  before: Before
}

/** Somebody else's registry, as far as pulls go, which does what a test wants. */
export async function openUpstream(t: Test): Promise<UpstreamServer> {
  const upstream: UpstreamServer = {
    host: '',
    origin: '',
    asked: [],
    manifests: new Map(),
    blobs: new Map(),
    before: () => false,
  }
  const server = createServer((request, response) => {
    const { method = '', url = '' } = request
    upstream.asked.push({ method, url, authorization: request.headers.authorization })
    if (upstream.before(request, response) === true) return
    const [, kind = '', reference = ''] = /\/(manifests|blobs)\/([^/?]+)(?:\?.*)?$/.exec(url) ?? []
    const found =
      kind === 'manifests'
        ? upstream.manifests.get(reference)
        : { type: 'application/octet-stream', bytes: upstream.blobs.get(reference) }
    if (!found?.bytes) return void response.writeHead(404).end('{"errors":[]}')
    const headers = {
      'content-type': found.type,
      'content-length': found.bytes.length,
      'docker-content-digest': digestOf(found.bytes),
    }
    response.writeHead(200, headers).end(method === 'HEAD' ? undefined : found.bytes)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  upstream.host = `127.0.0.1:${port}`
  upstream.origin = `http://${upstream.host}`
  return upstream
}

export function digestOf(bytes: Buffer | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

export const TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  image: 'application/vnd.oci.image.manifest.v1+json',
} as const

/** Puts an image of these layers there, under a tag too; answers its manifest. */
export function addImage(
  upstream: UpstreamServer,
  layers: Buffer[],
  tag?: string,
): { digest: string; bytes: Buffer } {
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', n: upstream.manifests.size }),
  )
  const describe = (bytes: Buffer, mediaType: string) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  })
  for (const blob of [config, ...layers]) upstream.blobs.set(digestOf(blob), blob)
  // Spaces that no serialiser of ours would write: the bytes must come through as they are.
  const bytes = Buffer.from(
    JSON.stringify(
      {
        schemaVersion: 2,
        mediaType: TYPES.image,
        config: describe(config, 'application/vnd.oci.image.config.v1+json'),
        layers: layers.map((layer) => describe(layer, 'application/vnd.oci.image.layer.v1.tar+gzip')),
      },
      null,
      3,
    ),
  )
  return addManifest(upstream, bytes, TYPES.image, tag)
}

export function addManifest(
  upstream: UpstreamServer,
  bytes: Buffer,
  type: string,
  tag?: string,
): { digest: string; bytes: Buffer } {
  const digest = digestOf(bytes)
  for (const name of [digest, ...(tag === undefined ? [] : [tag])])
    upstream.manifests.set(name, { type, bytes })
  return { digest, bytes }
}
