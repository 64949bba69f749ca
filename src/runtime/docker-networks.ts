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

/** Whose networks these are, and where they come from. */
interface Owner {
  engine: DockerEngine
  nodeId: string
  /** IPv4 range that networks are cut from, a /24 each: the engine's own default pools are used up after about thirty networks. */
  pool: string
}

export function createDockerNetworks(owner: Owner): Pick<Runtime, 'ensureNetwork' | 'removeNetwork'> {
  // One at a time: two networks that are made at once would pick the same subnet.
  let tail: Promise<unknown> = Promise.resolve()
  return {
    ensureNetwork: (network) => {
      const turn = tail.then(() => makeNetwork(owner, network))
      tail = turn.catch(() => {})
      return turn
    },
    removeNetwork: async (name) => {
      for (const network of await findNamed(owner, name)) await removeById(owner, network.Id)
    },
  }
}

function listAll({ engine }: Owner): Promise<NetworkInspectInfo[]> {
  return engine.call('list networks', (docker, abortSignal) => docker.listNetworks({ abortSignal }))
}

/** Those of this name, the oldest first. The engine's own filter matches parts of names. */
async function findNamed(owner: Owner, name: string): Promise<NetworkInspectInfo[]> {
  const found = (await listAll(owner)).filter((network) => network.Name === name)
  if (found.some((network) => network.Labels?.[LABELS.node] !== owner.nodeId)) {
    throw new AppError('CONFLICT', { message: `A network named ${name} exists that this node did not make.` })
  }
  return found.toSorted((a, b) => a.Created.localeCompare(b.Created) || a.Id.localeCompare(b.Id))
}

async function makeNetwork(owner: Owner, network: NetworkSpec): Promise<void> {
  if ((await findNamed(owner, network.name)).length > 0) return
  const refused: AddressRange[] = []
  for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
    const host = await readHostRoutes()
    const subnet = planSubnet(owner.pool, [...rangesOf(await listAll(owner)), ...host.ranges, ...refused])
    if (subnet === undefined) break
    const outcome = await create(owner, network, subnet, host.mtu)
    if (outcome === 'exists') return
    if (outcome === 'made') return removeDuplicates(owner, network.name)
    const range = parseRange(subnet)
    if (range) refused.push(range)
  }
  throw new AppError('CONFLICT', {
    message: `No free /24 is left in the network pool ${owner.pool}; remove unused projects or widen network_pool.`,
  })
}

/** Engines before 25 let two networks have one name, even with CheckDuplicate: the oldest stays, whoever made it. */
async function removeDuplicates(owner: Owner, name: string): Promise<void> {
  for (const network of (await findNamed(owner, name)).slice(1)) await removeById(owner, network.Id)
}

async function removeById({ engine }: Owner, id: string): Promise<void> {
  await engine.call('remove network', async (docker, abortSignal) => {
    try {
      await docker.getNetwork(id).remove({ abortSignal })
    } catch (error) {
      if (engineStatusOf(error) === 404) return
      if (engineStatusOf(error) !== 403) throw error
      throw new AppError('CONFLICT', { message: 'The network is in use.', cause: error })
    }
  })
}

function create(
  { engine, nodeId }: Owner,
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

function rangesOf(networks: NetworkInspectInfo[]): AddressRange[] {
  return networks
    .flatMap((network) => network.IPAM?.Config ?? [])
    .map((config) => parseRange(config.Subnet ?? ''))
    .filter((range) => range !== undefined)
}
