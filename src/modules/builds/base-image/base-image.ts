import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { isAppError } from '../../../lib/errors.ts'
import { LABELS } from '../../../runtime/labels.ts'
import type { Runtime } from '../../../runtime/runtime.ts'
import { type BaseContents, type BaseSources, gatherBaseContents, ownSources } from './base-contents.ts'
import { writeRootfs } from './rootfs.ts'

export interface BaseImage {
  /** What a Dockerfile names after FROM. */
  reference: string
  has_shell: boolean
}

export interface BaseImages {
  /** The image for applications without a Dockerfile; makes it when the engine does not have it. Says so through `say`. */
  ensureBaseImage(say: (line: string) => void, signal: AbortSignal): Promise<BaseImage>
}

export interface BaseImageOptions {
  runtime: Runtime
  /** An image of the operator's with Node.js, npm and a shell, instead of ours. */
  configured: string | undefined
  sources?: BaseSources
}

const REPOSITORY = 'berth/base'
const DIGEST_LENGTH = 12

interface Gathered extends BaseContents {
  reference: string
  digest: string
}

/** The base of images that Berth builds without a Dockerfile, from the Node.js that Berth itself runs on. */
export function createBaseImages({
  runtime,
  configured,
  sources = ownSources(),
}: BaseImageOptions): BaseImages {
  let gathered: Promise<Gathered> | undefined
  let importing: Promise<void> = Promise.resolve()

  // Once in the life of a daemon: its own runtime does not change under it.
  const gather = (): Promise<Gathered> => {
    gathered ??= gatherAndDigest(sources).catch((error: unknown) => {
      gathered = undefined
      throw error
    })
    return gathered
  }

  const isThere = async ({ reference, digest }: Gathered): Promise<boolean> =>
    (await runtime.findImage(reference))?.labels[LABELS.spec] === digest

  const importBase = async (base: Gathered, signal: AbortSignal): Promise<void> => {
    const labels = { [LABELS.kind]: 'base', [LABELS.spec]: base.digest }
    const archive = Readable.from(writeVerified(base), { objectMode: false })
    await runtime.importImage(archive, { tag: base.reference, labels, env: base.env, cmd: ['node'] }, signal)
    await removeOthers(runtime, base.reference)
  }

  async function ensureBaseImage(say: (line: string) => void, signal: AbortSignal): Promise<BaseImage> {
    if (configured !== undefined) return { reference: configured, has_shell: true }
    const base = await gather()
    // One import at a time, and the next caller looks again.
    const before = importing
    const turn = (async () => {
      await before
      signal.throwIfAborted()
      if (await isThere(base)) return
      say(`Assembling the base image ${base.reference} from Node.js ${process.versions.node}`)
      if (!base.has_shell)
        say(
          'There is no /bin/busybox on this node: the base image has no shell, and scripts that need one cannot run.',
        )
      await importBase(base, signal)
    })()
    importing = turn.catch(() => {})
    await turn
    return { reference: base.reference, has_shell: base.has_shell }
  }

  return { ensureBaseImage }
}

async function gatherAndDigest(sources: BaseSources): Promise<Gathered> {
  const contents = await gatherBaseContents(sources)
  const hash = createHash('sha256').update(JSON.stringify(contents.env))
  for await (const piece of writeRootfs(contents.entries)) hash.update(piece)
  const digest = hash.digest('hex')
  const major = process.versions.node.split('.')[0] ?? ''
  return { ...contents, digest, reference: `${REPOSITORY}:node${major}-${digest.slice(0, DIGEST_LENGTH)}` }
}

/** The archive once more; a file that was replaced since it was digested ends it before the engine has all of it. */
async function* writeVerified({ entries, env, digest }: Gathered): AsyncGenerator<Buffer> {
  const hash = createHash('sha256').update(JSON.stringify(env))
  let held: Buffer | undefined
  for await (const piece of writeRootfs(entries)) {
    hash.update(piece)
    if (held) yield held
    held = piece
  }
  if (hash.digest('hex') !== digest)
    throw new Error('The files of the base image changed while it was assembled.')
  if (held) yield held
}

/** Bases of earlier versions, as far as nothing is made of them any more. */
async function removeOthers(runtime: Runtime, reference: string): Promise<void> {
  for (const image of await runtime.listImages({ [LABELS.kind]: 'base' })) {
    for (const tag of image.tags) {
      if (tag === reference || !tag.startsWith(`${REPOSITORY}:`)) continue
      await runtime.removeImage(tag).catch((error: unknown) => {
        if (!isAppError(error, 'CONFLICT')) throw error
      })
    }
  }
}
