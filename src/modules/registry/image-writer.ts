import { Readable } from 'node:stream'
import { isAppError } from '../../lib/errors.ts'
import { streamSource } from '../../lib/stream-source.ts'
import type { System } from '../../lib/system.ts'
import type { RegistryProtocol } from './registry-operations.ts'

/** Writes an image into a repository as a client would, without the network: under the same checks, quota and rules. */
export interface ImageWriter {
  /** Whether the repository has the blob; asking keeps it for a while. */
  hasBlob(digest: string): Promise<boolean>
  /** Takes a blob as it comes. `cut`: the stream ended early; `other`: its bytes are not what the digest says; nothing stays of either. */
  putBlob(digest: string, content: Readable): Promise<'whole' | 'cut' | 'other'>
  putManifest(bytes: Buffer, mediaType: string, digest: string, tags: readonly string[]): Promise<void>
}

export interface ImageWriterOptions {
  protocol: Pick<RegistryProtocol, 'answer'>
  system: System
  repository: string
  /** Grants pull and push in the repository. */
  token: string
}

export function createImageWriter(options: ImageWriterOptions): ImageWriter {
  const { protocol, repository, token } = options
  const ask = (
    method: string,
    path: string,
    body: Readable = Readable.from([]),
    headers: Record<string, string> = {},
  ) =>
    protocol.answer({
      method,
      url: `/v2/${repository}/${path}`,
      header: (name) => (name === 'authorization' ? `Bearer ${token}` : headers[name]),
      body: streamSource(body, options.system),
      requestId: '',
      clientAddress: '',
    })

  return {
    hasBlob: async (digest) => {
      try {
        return (await ask('HEAD', `blobs/${digest}`)).status === 200
      } catch (error) {
        if (isAppError(error, 'BLOB_UNKNOWN') || isAppError(error, 'NAME_UNKNOWN')) return false
        throw error
      }
    },

    putBlob: async (digest, content) => {
      try {
        await ask('POST', `blobs/uploads/?digest=${digest}`, content)
        return 'whole'
      } catch (error) {
        if (isAppError(error, 'BLOB_UPLOAD_INVALID')) return 'cut'
        if (isAppError(error, 'DIGEST_INVALID')) return 'other'
        throw error
      }
    },

    putManifest: async (bytes, mediaType, digest, tags) => {
      const query = tags.map((tag) => `tag=${encodeURIComponent(tag)}`).join('&')
      const headers = { 'content-type': mediaType, 'content-length': String(bytes.length) }
      await ask('PUT', `manifests/${digest}?${query}`, Readable.from([bytes]), headers)
    },
  }
}
