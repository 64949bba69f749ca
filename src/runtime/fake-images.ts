import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { AppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import { addFakeImage, findFakeImage, type FakeEngine, type FakeProgramOf } from './fake-engine.ts'
import { LABELS } from './labels.ts'
import { BuildFailed } from './runtime.ts'
import type { BuildLine, BuildSpec, ImageInfo, Runtime } from './runtime.ts'

/** What a build does. */
export interface FakeBuild {
  lines?: BuildLine[]
  /** It fails, with this reason. */
  fail?: string
  /** It goes on until this resolves, or until it is cancelled. */
  until?: Promise<void>
  image?: Partial<Pick<ImageInfo, 'exposed_ports' | 'has_command' | 'size_bytes'>>
  /** What containers of the image do. */
  program?: FakeProgramOf
}

export type FakeBuilder = (build: BuildSpec) => FakeBuild

type ImageVerbs = Pick<
  Runtime,
  'findImage' | 'importImage' | 'buildImage' | 'listImages' | 'listTags' | 'removeImage'
>

/** The verbs of images over an engine in memory. `builder` says what a build does. */
export function createFakeImages(
  engine: FakeEngine,
  nodeId: string,
  system: System,
  builder: () => FakeBuilder,
): ImageVerbs {
  return {
    findImage: async (reference) => {
      const image = findFakeImage(engine, reference)
      return image && structuredClone(image)
    },

    importImage: async (rootfs, { tag, labels, cmd, entrypoint }, signal) => {
      const digest = await digestOf(rootfs, signal)
      const id = idOf(digest, tag)
      const has_command = (cmd ?? entrypoint) !== undefined
      addFakeImage(engine, tag, { id, labels: { ...labels, [LABELS.node]: nodeId }, has_command })
      return id
    },

    buildImage: async (build, onLine, signal) => {
      const script = builder()(build)
      try {
        let size_bytes = 0
        const digest = await digestOf(build.context, signal, (count) => (size_bytes += count))
        engine.buildCache.set(digest, { size_bytes, used_at: system.now() })
        for (const line of script.lines ?? []) onLine(line)
        await orAborted(script.until ?? Promise.resolve(), signal)
        if (script.fail !== undefined) throw new BuildFailed(script.fail)
        const { dockerfile, target, build_args, labels } = build
        const id = idOf(digest, JSON.stringify({ dockerfile, target, build_args, labels }))
        addFakeImage(engine, build.tag, { ...script.image, id, labels: { ...labels, [LABELS.node]: nodeId } })
        if (script.program) engine.programs.set(id, script.program)
        return { image_id: id }
      } finally {
        build.context.destroy()
      }
    },

    listImages: async (labels) => {
      const wanted = Object.entries({ ...labels, [LABELS.node]: nodeId })
      return [...engine.images.values()].filter((image) =>
        wanted.every(([name, value]) => image.labels[name] === value),
      )
    },

    listTags: async (prefix) =>
      [...engine.images.values()].flatMap(({ tags }) => tags.filter((tag) => tag.startsWith(prefix))),

    removeImage: async (reference) => {
      const image = findFakeImage(engine, reference)
      if (!image) return
      const tags = image.tags.filter((tag) => tag !== reference)
      const isLast = tags.length === 0 || reference === image.id
      if (isLast && isUsed(engine, image)) throw new AppError('CONFLICT', { message: 'The image is in use.' })
      if (isLast) engine.images.delete(image.id)
      else image.tags = tags
    },
  }
}

function isUsed(engine: FakeEngine, image: ImageInfo): boolean {
  return [...engine.containers.values()].some(
    ({ spec }) => findFakeImage(engine, spec.image)?.id === image.id,
  )
}

async function digestOf(
  stream: Readable,
  signal: AbortSignal | undefined,
  onBytes: (count: number) => void = () => {},
): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    signal?.throwIfAborted()
    hash.update(chunk)
    onBytes(chunk.length)
  }
  signal?.throwIfAborted()
  return hash.digest('hex')
}

function idOf(...parts: string[]): string {
  return `sha256:${createHash('sha256').update(parts.join('\n')).digest('hex')}`
}

async function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
