import { once } from 'node:events'
import { finished, Readable } from 'node:stream'
import type { VolumeInspectInfo } from 'dockerode'
import { AppError, isAppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import { packArchive } from '../lib/archive-pack.ts'
import { isOwnContainer } from './container-info.ts'
import { createDockerImages, labelFilter } from './docker-images.ts'
import type { DockerEngine } from './docker-engine.ts'
import { engineStatusOf } from './docker-errors.ts'
import { LABELS } from './labels.ts'
import type { Runtime, VolumeInfo } from './runtime.ts'

type VolumeVerbs = Pick<
  Runtime,
  'ensureVolume' | 'removeVolume' | 'listVolumes' | 'readVolume' | 'writeVolume' | 'setVolumeRoot'
>

export interface DockerVolumesOptions {
  engine: DockerEngine
  nodeId: string
  system: System
}

/** An image of nothing, for carriers. */
const CARRIER_IMAGE = 'berth/carrier:1'
/** Where a carrier has its volume. The engine leaves out the entry `./` of an archive, so the root of a volume is named from outside. */
const CARRIED_NAME = 'volume'
const CARRIED = `/${CARRIED_NAME}`
/** A tar of nothing. */
const EMPTY_TAR_BYTES = 1024
const REMOVE_TIMEOUT_MS = 60_000
const REMOVE_TRIES = 10
const RETRY_MS = 100

/**
 * Volumes of the engine. They are read and written through the engine's archive calls on a carrier: a container that has the volume and is never
 * started, so that neither a program nor a path of the machine is needed, and owners and modes stay.
 */
export function createDockerVolumes(options: DockerVolumesOptions): VolumeVerbs {
  const { engine, nodeId, system } = options
  const images = createDockerImages(options)
  /** Carriers of this daemon, by name: removed by whoever made them. */
  const own = new Set<string>()
  /** Undefined: there may be carriers that an earlier daemon left, or that could not be removed. */
  let swept: Promise<void> | undefined

  const find = (name: string): Promise<VolumeInspectInfo | undefined> =>
    engine.call('inspect volume', async (docker, abortSignal) => {
      try {
        return await docker.getVolume(requireName(name)).inspect({ abortSignal })
      } catch (error) {
        if (engineStatusOf(error) === 404) return undefined
        throw error
      }
    })
  const isOwn = (found: VolumeInspectInfo): boolean => found.Labels?.[LABELS.node] === nodeId
  const findOwn = async (name: string): Promise<VolumeInspectInfo | undefined> => {
    const found = await find(name)
    if (!found || isOwn(found)) return found
    throw new AppError('CONFLICT', { message: `A volume named ${name} exists that this node did not make.` })
  }

  const removeOnce = (name: string): Promise<void> =>
    engine.call('remove volume', async (docker, abortSignal) => {
      try {
        await docker.getVolume(name).remove({ abortSignal })
      } catch (error) {
        if (engineStatusOf(error) === 404) return
        if (engineStatusOf(error) === 409)
          throw new AppError('CONFLICT', { message: 'The volume is in use.', cause: error })
        throw error
      }
    })

  const removeContainer = (name: string): Promise<void> =>
    engine.call(
      'remove carrier',
      async (docker, abortSignal) => {
        try {
          await docker.getContainer(name).remove({ force: true, abortSignal })
        } catch (error) {
          if (engineStatusOf(error) !== 404 && engineStatusOf(error) !== 409) throw error
        }
      },
      { timeoutMs: REMOVE_TIMEOUT_MS },
    )

  /** One that cannot be removed now is swept up later. */
  const removeCarrier = async (name: string): Promise<void> => {
    try {
      await removeContainer(name)
      own.delete(name)
    } catch {
      own.delete(name)
      swept = undefined
    }
  }

  const sweep = async (): Promise<void> => {
    const filters = { label: labelFilter({ [LABELS.kind]: 'carrier', [LABELS.node]: nodeId }) }
    const left = await engine.call('list carriers', (docker, abortSignal) =>
      docker.listContainers({ all: true, filters, abortSignal }),
    )
    for (const { Names, Labels } of left) {
      const name = Names[0]?.replace(/^\//, '') ?? ''
      if (!isOwnContainer(nodeId, name, Labels)) continue
      // Asked only now: it may have been made since the list was.
      if (!own.has(name)) await removeCarrier(requireName(name))
    }
  }
  /** A carrier that resists is in the way of nothing but the removal of its own volume. */
  const ensureSwept = (): Promise<void> => {
    if (swept) return swept
    const sweeping = sweep()
    swept = sweeping
    sweeping.catch(() => (swept = undefined))
    return sweeping
  }

  const putArchive = async (
    carrier: string,
    path: string,
    body: Readable,
    signal: AbortSignal,
  ): Promise<void> => {
    const request = {
      method: 'PUT',
      path: `/containers/${carrier}/archive`,
      query: { path, noOverwriteDirNonDir: '1' },
      body,
    } as const
    const answer = await engine.open('write volume', request, { signal, timeoutMs: null })
    answer.resume()
    if (!answer.readableEnded) await once(answer, 'end', { signal })
  }

  const withCarrier = async (volume: string, use: (carrier: string) => Promise<void>): Promise<void> => {
    const carrier = await makeCarrier(volume)
    try {
      await use(carrier)
    } finally {
      await removeCarrier(carrier)
    }
  }

  const makeCarrier = async (volume: string): Promise<string> => {
    await ensureSwept()
    if (!(await findOwn(volume))) throw new AppError('NOT_FOUND', { cause: new Error(`no volume ${volume}`) })
    const image = { tag: CARRIER_IMAGE, labels: { [LABELS.kind]: 'carrier' }, env: {} }
    if (!(await images.findImage(CARRIER_IMAGE)))
      await images.importImage(Readable.from([Buffer.alloc(EMPTY_TAR_BYTES)]), image)
    const name = `berth-carrier-${system.newId()}`
    own.add(name)
    try {
      await createCarrier(name, volume)
    } catch (error) {
      // The engine may have made it all the same.
      own.delete(name)
      swept = undefined
      throw error
    }
    return name
  }

  const createCarrier = (name: string, volume: string): Promise<unknown> =>
    engine.call('create carrier', (docker, abortSignal) =>
      docker.createContainer({
        name,
        Image: CARRIER_IMAGE,
        Cmd: ['/none'],
        Labels: { [LABELS.kind]: 'carrier', [LABELS.node]: nodeId, [LABELS.container]: name },
        HostConfig: {
          NetworkMode: 'none',
          Mounts: [
            { Type: 'volume', Source: volume, Target: CARRIED, VolumeOptions: { NoCopy: true } as never },
          ],
        },
        abortSignal,
      }),
    )

  return {
    ensureVolume: async ({ name, labels }) => {
      if (await findOwn(name)) return false
      await engine.call('create volume', async (docker, abortSignal) => {
        await docker.createVolume({
          Name: requireName(name),
          Driver: 'local',
          Labels: { ...labels, [LABELS.node]: nodeId },
          abortSignal,
        })
      })
      return true
    },

    removeVolume: async (name) => {
      await ensureSwept()
      if (!(await findOwn(name))) return
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await removeOnce(name)
        } catch (error) {
          // The carrier of a read that has just ended may still be leaving.
          if (!isAppError(error, 'CONFLICT') || attempt === REMOVE_TRIES) throw error
          await system.sleep(RETRY_MS)
        }
      }
    },

    listVolumes: async (labels) => {
      const filters = JSON.stringify({ label: labelFilter({ ...labels, [LABELS.node]: nodeId }) })
      const { Volumes } = await engine.call('list volumes', (docker, abortSignal) =>
        docker.listVolumes({ filters, abortSignal }),
      )
      return Volumes.map(toVolumeInfo)
    },

    readVolume: async (name, signal) => {
      const carrier = await makeCarrier(name)
      try {
        const request = {
          method: 'GET',
          path: `/containers/${carrier}/archive`,
          query: { path: `${CARRIED}/.` },
        } as const
        const contents = await engine.open('read volume', request, { signal })
        finished(contents, () => void removeCarrier(carrier))
        return contents
      } catch (error) {
        await removeCarrier(carrier)
        throw error
      }
    },

    writeVolume: async (name, contents, signal) => {
      const broken = new AbortController()
      contents.once('error', (error) => broken.abort(error))
      try {
        const both = AbortSignal.any([signal, broken.signal])
        await withCarrier(name, (carrier) => putArchive(carrier, CARRIED, contents, both))
      } catch (error) {
        signal.throwIfAborted()
        throw broken.signal.aborted ? broken.signal.reason : error
      } finally {
        contents.destroy()
      }
    },

    setVolumeRoot: async (name, { uid, gid, mode, mtime_ms }, signal) => {
      const root = { kind: 'directory', name: CARRIED_NAME, mode, mtime_ms, owner: uid, group: gid } as const
      await withCarrier(name, (carrier) => putArchive(carrier, '/', packArchive([root]), signal))
    },
  }
}

function toVolumeInfo(found: VolumeInspectInfo): VolumeInfo {
  return { name: found.Name, labels: found.Labels ?? {}, directory: found.Mountpoint || null }
}

/** dockerode puts names into paths as they are. */
function requireName(name: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(name)) return name
  throw new AppError('INTERNAL', { cause: new Error(`not a volume name: ${JSON.stringify(name)}`) })
}
