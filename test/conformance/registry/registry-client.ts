import { createHash, randomBytes } from 'node:crypto'
import { type IncomingHttpHeaders, request } from 'node:http'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'

export interface RegistryReply {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  text: string
  json: Record<string, unknown>
}

export interface SendOptions {
  headers?: Record<string, string>
  body?: Buffer | string | Readable
}

export const TYPES = {
  image: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  docker: 'application/vnd.docker.distribution.manifest.v2+json',
  list: 'application/vnd.docker.distribution.manifest.list.v2+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
} as const

export function digest(content: Buffer | string, algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(content).digest('hex')}`
}

export function noise(bytes: number): Buffer {
  return randomBytes(bytes)
}

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  [key: string]: unknown
}

export function describe(content: Buffer | string, mediaType: string): Descriptor {
  return { mediaType, digest: digest(content), size: Buffer.byteLength(content) }
}

/** A client of /v2 that adds nothing of its own and follows nothing. */
export class RegistryClient {
  readonly origin: string
  readonly authorization: string | undefined

  constructor(origin: string, authorization?: string) {
    this.origin = origin
    this.authorization = authorization
  }

  send(method: string, path: string, { headers = {}, body }: SendOptions = {}): Promise<RegistryReply> {
    const url = new URL(path, this.origin)
    const { promise, resolve, reject } = Promise.withResolvers<RegistryReply>()
    const sender = request(url, {
      method,
      agent: false,
      headers: {
        ...(this.authorization === undefined ? {} : { authorization: this.authorization }),
        ...(Buffer.isBuffer(body) || typeof body === 'string'
          ? { 'content-length': String(Buffer.byteLength(body)) }
          : {}),
        ...(body === undefined && method !== 'GET' && method !== 'HEAD' ? { 'content-length': '0' } : {}),
        ...headers,
      },
    })
    sender.on('error', reject)
    sender.on('response', (response) => {
      buffer(response).then((content) => {
        const text = content.toString()
        let json: unknown = {}
        try {
          json = JSON.parse(text)
        } catch {
          // Not every answer is JSON.
        }
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: content,
          text,
          json: json as Record<string, unknown>,
        })
        return undefined
      }, reject)
    })
    if (body instanceof Readable) body.pipe(sender)
    else sender.end(body)
    return promise
  }

  /** Pushes a blob by POST and PUT; answers its digest. */
  async pushBlob(name: string, content: Buffer | string, algorithm = 'sha256'): Promise<string> {
    const wanted = digest(content, algorithm)
    const begun = await this.send('POST', `/v2/${name}/blobs/uploads/`)
    if (begun.status !== 202) throw new Error(`POST answered ${begun.status} ${begun.text}`)
    const done = await this.send('PUT', withQuery(begun.headers.location ?? '', { digest: wanted }), {
      headers: { 'content-type': 'application/octet-stream' },
      body: content,
    })
    if (done.status !== 201) throw new Error(`PUT answered ${done.status} ${done.text}`)
    return wanted
  }

  putManifest(
    name: string,
    reference: string,
    manifest: unknown,
    type: string = TYPES.image,
  ): Promise<RegistryReply> {
    const body = typeof manifest === 'string' ? manifest : JSON.stringify(manifest)
    return this.send('PUT', `/v2/${name}/manifests/${reference}`, { headers: { 'content-type': type }, body })
  }

  /** Pushes an image of one random layer; answers what was pushed. */
  async pushImage(name: string, tag: string, extra: Record<string, unknown> = {}) {
    const config = JSON.stringify({ architecture: 'amd64', os: 'linux', id: noise(8).toString('hex') })
    const layer = noise(1000)
    await this.pushBlob(name, config)
    await this.pushBlob(name, layer)
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: TYPES.image,
      config: describe(config, TYPES.config),
      layers: [describe(layer, TYPES.layer)],
      ...extra,
    })
    const answer = await this.putManifest(name, tag === '' ? digest(manifest) : tag, manifest)
    if (answer.status !== 201) throw new Error(`PUT manifest answered ${answer.status} ${answer.text}`)
    return { manifest, digest: digest(manifest), config, layer, answer }
  }
}

export function withQuery(location: string, query: Record<string, string>): string {
  const mark = location.includes('?') ? '&' : '?'
  return `${location}${mark}${new URLSearchParams(query).toString()}`
}
