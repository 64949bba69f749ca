import type { NetworkInspectInfo } from 'dockerode'
import { AppError } from '../lib/errors.ts'
import type { DockerEngine } from './docker-engine.ts'
import { engineMessageOf, engineStatusOf } from './docker-errors.ts'
import { readHostRoutes } from './host-routes.ts'
import { LABELS } from './labels.ts'
import type { NetworkSpec, Runtime } from './runtime.ts'
import { parseRange, planSubnet, type AddressRange } from './subnet-pool.ts'

/** Each try loses its subnet to another process that makes networks at the same time. */
const MAX_TRIES = 20
const ETHERNET_MTU = 1500

export interface DockerNetworksOptions {
  engine: DockerEngine
  nodeId: string
  /** IPv4 range that networks are cut from, a /24 each: the engine's own default pools are used up after about thirty networks. */
  pool: string
}

export function createDockerNetworks({
  engine,
  nodeId,
  pool,
}: DockerNetworksOptions): Pick<Runtime, 'ensureNetwork' | 'removeNetwork'> {
  // One at a time: two networks that are made at once would pick the same subnet.
  let tail: Promise<unknown> = Promise.resolve()

  const listAll = (): Promise<NetworkInspectInfo[]> =>
    engine.call('list networks', (docker, abortSignal) => docker.listNetworks({ abortSignal }))

  async function findNamed(name: string): Promise<NetworkInspectInfo[]> {
    // The engine's name filter matches parts of names.
    const found = (await listAll()).filter((network) => network.Name === name)
    if (found.some((network) => network.Labels?.[LABELS.node] !== nodeId)) {
      throw new AppError('CONFLICT', {
        message: `A network named ${name} exists that this node did not make.`,
      })
    }
    return found.toSorted((a, b) => a.Created.localeCompare(b.Created) || a.Id.localeCompare(b.Id))
  }

  async function make(network: NetworkSpec): Promise<void> {
    if ((await findNamed(network.name)).length > 0) return
    const refused: AddressRange[] = []
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      const host = await readHostRoutes()
      const subnet = planSubnet(pool, [...rangesOf(await listAll()), ...host.ranges, ...refused])
      if (subnet === undefined) throw poolExhausted(pool)
      const outcome = await create(network, subnet, host.mtu)
      if (outcome === 'made') return removeDuplicates(network.name)
      if (outcome === 'exists') return
      const range = parseRange(subnet)
      if (range) refused.push(range)
    }
    throw poolExhausted(pool)
  }

  /** Engines before 25 let two networks have one name, even with CheckDuplicate: the oldest stays, whoever made it. */
  async function removeDuplicates(name: string): Promise<void> {
    for (const network of (await findNamed(name)).slice(1)) await removeById(network.Id)
  }

  async function removeById(id: string): Promise<void> {
    await engine.call('remove network', async (docker, abortSignal) => {
      try {
        await docker.getNetwork(id).remove({ abortSignal })
      } catch (error) {
        if (engineStatusOf(error) === 404) return
        if (engineStatusOf(error) === 403)
          throw new AppError('CONFLICT', { message: 'The network is in use.', cause: error })
        throw error
      }
    })
  }

  function create(
    network: NetworkSpec,
    subnet: string,
    mtu: number | undefined,
  ): Promise<'made' | 'exists' | 'overlaps'> {
    return engine.call('create network', async (docker, abortSignal) => {
      try {
        await docker.createNetwork({
          Name: network.name,
          CheckDuplicate: true,
          Driver: 'bridge',
          IPAM: { Driver: 'default', Config: [{ Subnet: subnet }] },
          // Bridges default to 1500 whatever the uplink has; larger packets then vanish on tunnelled and cloud networks.
          Options:
            mtu !== undefined && mtu < ETHERNET_MTU ? { 'com.docker.network.driver.mtu': String(mtu) } : {},
          Labels: { ...network.labels, [LABELS.node]: nodeId },
          abortSignal,
        })
        return 'made'
      } catch (error) {
        if (engineStatusOf(error) === 409) return 'exists'
        if (engineStatusOf(error) !== undefined && /overlap/i.test(engineMessageOf(error))) return 'overlaps'
        throw error
      }
    })
  }

  return {
    ensureNetwork: (network) => {
      const turn = tail.then(() => make(network))
      tail = turn.catch(() => {})
      return turn
    },
    removeNetwork: async (name) => {
      for (const network of await findNamed(name)) await removeById(network.Id)
    },
  }
}

function rangesOf(networks: NetworkInspectInfo[]): AddressRange[] {
  return networks
    .flatMap((network) => network.IPAM?.Config ?? [])
    .map((config) => parseRange(config.Subnet ?? ''))
    .filter((range) => range !== undefined)
}

function poolExhausted(pool: string): AppError {
  return new AppError('CONFLICT', {
    message: `No free /24 is left in the network pool ${pool}; remove unused projects or widen network_pool.`,
  })
}
