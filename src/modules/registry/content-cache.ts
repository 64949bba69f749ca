/** Bytes by digest, the least recently used dropped first; what a digest names never changes. */
export interface ContentCache {
  get(digest: string): Buffer | undefined
  set(digest: string, content: Buffer): void
  delete(digest: string): void
}

const MAX_BYTES = 24 * 1024 ** 2
/** What an entry costs besides its bytes. */
const ENTRY_BYTES = 300
/** A large one would drive out hundreds of small ones. */
const MAX_ENTRY_BYTES = 1024 ** 2

export function createContentCache(): ContentCache {
  const entries = new Map<string, Buffer>()
  let bytes = 0
  const drop = (digest: string): void => {
    const content = entries.get(digest)
    if (content === undefined) return
    entries.delete(digest)
    bytes -= content.length + ENTRY_BYTES
  }
  return {
    get: (digest) => {
      const content = entries.get(digest)
      if (content === undefined) return undefined
      entries.delete(digest)
      entries.set(digest, content)
      return content
    },
    set: (digest, content) => {
      if (content.length > MAX_ENTRY_BYTES) return
      drop(digest)
      entries.set(digest, content)
      bytes += content.length + ENTRY_BYTES
      for (const oldest of entries.keys()) {
        if (bytes <= MAX_BYTES) return
        drop(oldest)
      }
    },
    delete: drop,
  }
}
