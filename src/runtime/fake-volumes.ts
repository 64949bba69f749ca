import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { packArchive } from '../lib/archive-pack.ts'
import { AppError } from '../lib/errors.ts'
import type { FakeEngine } from './fake-engine.ts'
import { LABELS } from './labels.ts'
import type { Runtime } from './runtime.ts'
import type { VolumeRoot } from './volume-root.ts'

type VolumeVerbs = Pick<
  Runtime,
  'ensureVolume' | 'removeVolume' | 'listVolumes' | 'readVolume' | 'writeVolume' | 'setVolumeRoot'
>

/** A tar of nothing. */
const EMPTY = Buffer.alloc(1024)

/** The verbs of volumes over an engine in memory: a volume holds the tar that was written last, and what was said of its root. */
export function createFakeVolumes(engine: FakeEngine, nodeId: string): VolumeVerbs {
  const requireOwn = (name: string): void => {
    if ((engine.volumes.get(name)?.labels[LABELS.node] ?? nodeId) === nodeId) return
    throw new AppError('CONFLICT', { message: `A volume named ${name} exists that this node did not make.` })
  }
  const require = (name: string) => {
    requireOwn(name)
    const found = engine.volumes.get(name)
    if (!found) throw new AppError('NOT_FOUND', { cause: new Error(`no volume ${name}`) })
    return found
  }
  return {
    ensureVolume: async ({ name, labels }) => {
      requireOwn(name)
      if (engine.volumes.has(name)) return false
      engine.volumes.set(name, { name, labels: { ...labels, [LABELS.node]: nodeId }, contents: EMPTY })
      return true
    },
    removeVolume: async (name) => {
      requireOwn(name)
      const users = [...engine.containers.values()].filter(({ spec }) =>
        spec.mounts?.some(({ volume }) => volume === name),
      )
      if (users.length > 0) throw new AppError('CONFLICT', { message: 'The volume is in use.' })
      engine.volumes.delete(name)
    },
    listVolumes: async (labels) => {
      const wanted = Object.entries({ ...labels, [LABELS.node]: nodeId })
      return [...engine.volumes.values()]
        .filter((volume) => wanted.every(([label, value]) => volume.labels[label] === value))
        .map(({ name, labels: own, directory = null }) => ({ name, labels: { ...own }, directory }))
    },
    readVolume: async (name) => {
      const { contents, root } = require(name)
      return Readable.from([...(root ? [await rootHeader(root)] : []), contents], { objectMode: false })
    },
    writeVolume: async (name, contents, signal) => {
      const volume = require(name)
      const written = await buffer(contents)
      signal.throwIfAborted()
      volume.contents = written
    },
    setVolumeRoot: async (name, root) => {
      require(name).root = root
    },
  }
}

/** The entry `./`, without an end behind it. */
async function rootHeader({ uid, gid, mode, mtime_ms }: VolumeRoot): Promise<Buffer> {
  const entry = { kind: 'directory', name: '.', mode, mtime_ms, owner: uid, group: gid } as const
  const packed = await buffer(packArchive([entry]))
  return packed.subarray(0, packed.length - EMPTY.length)
}
