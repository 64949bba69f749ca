import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncDirectory } from '../../lib/durable-file.ts'
import { algorithmOf, DIGEST_ALGORITHMS, type DigestAlgorithm } from './registry-path.ts'

/**
 * Where things lie, all on one file system so that a rename moves them:
 *
 *     registry/key                             signs tokens
 *     registry/blobs/<algorithm>/<2 hex>/<hex> blobs that are too large for the database
 *     registry/uploads/<id>.<repository>.<algorithm|any>
 *     registry/quarantine/<algorithm>-<hex>    what was found damaged
 */
export type RegistryTree = ReturnType<typeof createRegistryTree>

/** Builds every path of the registry's files. */
export function createRegistryTree(dataDir: string) {
  const root = join(dataDir, 'registry')
  const blobs = join(root, 'blobs')
  const uploads = join(root, 'uploads')
  const quarantine = join(root, 'quarantine')
  const made = new Set<string>()

  const hexOf = (digest: string): string => digest.slice(algorithmOf(digest).length + 1)
  const ensureDirectory = async (directory: string): Promise<void> => {
    if (made.has(directory)) return
    const first = await mkdir(directory, { recursive: true, mode: 0o700 })
    if (first !== undefined) await syncDirectory(dirname(first))
    made.add(directory)
  }

  return {
    root,
    uploads,
    quarantine,
    key: join(root, 'key'),
    /** The directories that hold blobs, by algorithm and shard. */
    blobs,
    shards: DIGEST_ALGORITHMS.flatMap((algorithm) =>
      Array.from({ length: 256 }, (_, index) => ({
        algorithm,
        directory: join(blobs, algorithm, index.toString(16).padStart(2, '0')),
      })),
    ),
    blob: (digest: string): string => {
      const hex = hexOf(digest)
      return join(blobs, algorithmOf(digest), hex.slice(0, 2), hex)
    },
    upload: (session: { id: string; repositoryId: number; algorithm: DigestAlgorithm | undefined }): string =>
      join(uploads, `${session.id}.${session.repositoryId}.${session.algorithm ?? 'any'}`),
    quarantined: (digest: string): string => join(quarantine, `${algorithmOf(digest)}-${hexOf(digest)}`),
    ensureDirectory,
    /** Makes what a start needs. */
    prepare: async (): Promise<void> => {
      for (const directory of [root, uploads, quarantine, blobs]) await ensureDirectory(directory)
    },
  }
}

/** What the name of an upload's file says. */
export function parseUploadFile(
  name: string,
): { id: string; repositoryId: number; algorithm: DigestAlgorithm | undefined } | undefined {
  const match = /^([0-9a-f-]{36})\.(\d{1,15})\.(any|sha256|sha512)$/.exec(name)
  if (!match) return undefined
  const algorithm = DIGEST_ALGORITHMS.find((each) => each === match[3])
  return { id: match[1] ?? '', repositoryId: Number(match[2]), algorithm }
}
