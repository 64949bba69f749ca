import { createBuildBounds, type BuildBounds } from './build-cgroup.ts'
import { readContainerUsage } from './container-usage.ts'
import { createDockerBuild } from './docker-build.ts'
import { createDockerBuildCache } from './docker-build-cache.ts'
import { createDockerContainers } from './docker-containers.ts'
import { createDockerEngine, type DockerEngine } from './docker-engine.ts'
import { createDockerEvents } from './docker-events.ts'
import { createDockerImages } from './docker-images.ts'
import { createDockerLogs } from './docker-logs.ts'
import { createDockerNetworks } from './docker-networks.ts'
import { createDockerTransfers } from './docker-transfers.ts'
import { createDockerVolumes } from './docker-volumes.ts'
import type { EngineInfo, Runtime } from './runtime.ts'
import type { System } from '../lib/system.ts'

const DEFAULT_NETWORK_POOL = '10.213.0.0/16'

export interface DockerRuntimeOptions {
  socketPath: string
  /** The Berth node that all of it belongs to. */
  nodeId: string
  system: System
  /** IPv4 range that project networks are cut from, a /24 each. */
  networkPool?: string
  /** Keeps builds on the engine's older builder, which bounds each build by itself but knows less of Dockerfiles. */
  classicBuilder?: boolean
}

/** The Docker Engine behind a Unix socket. Connects with the first verb; an engine that comes back is found again by itself. */
export function createDockerRuntime(options: DockerRuntimeOptions): Runtime {
  const { nodeId, system } = options
  const engine = createDockerEngine(options)
  const part = { engine, nodeId, system }
  let bounds: BuildBounds | undefined

  const inspect = (signal?: AbortSignal): Promise<EngineInfo> =>
    inspectEngine(engine, options.classicBuilder === true, signal)

  const builder = async (): Promise<{ buildkit: boolean; bounds: BuildBounds }> => {
    const info = await inspect()
    bounds ??= createBuildBounds({
      cgroupVersion: info.cgroup_version,
      cgroupDriver: info.cgroup_driver,
      system,
    })
    return { buildkit: info.buildkit, bounds }
  }

  return {
    inspectEngine: inspect,
    ...createDockerNetworks({ ...part, pool: options.networkPool ?? DEFAULT_NETWORK_POOL }),
    ...createDockerImages(part),
    ...createDockerTransfers(part),
    ...createDockerBuild({ ...part, builder }),
    ...createDockerBuildCache({ engine, usesBuildKit: async () => (await inspect()).buildkit }),
    ...createDockerContainers(part),
    readUsage: (id) => readContainerUsage(id),
    ...createDockerVolumes(part),
    ...createDockerLogs(part),
    ...createDockerEvents(part),
  }
}

/** What the engine says of itself that `@types/dockerode` leaves untyped. */
interface SystemInfo {
  ServerVersion: string
  CgroupVersion?: string
  CgroupDriver: string
  OperatingSystem: string
  OSType: string
  KernelVersion: string
  NCPU: number
  MemTotal: number
}

async function inspectEngine(
  engine: DockerEngine,
  classic: boolean,
  signal: AbortSignal | undefined,
): Promise<EngineInfo> {
  const info = await engine.call(
    'inspect engine',
    async (docker) => (await (docker.info() as Promise<unknown>)) as SystemInfo,
    { signal },
  )
  return {
    version: info.ServerVersion,
    api_version: await engine.apiVersion(),
    cgroup_version: info.CgroupVersion ?? '1',
    cgroup_driver: info.CgroupDriver,
    os: info.OperatingSystem,
    kernel: info.KernelVersion,
    cpus: info.NCPU,
    memory_bytes: info.MemTotal,
    // Part of every Linux engine since 18.09, whether or not it is the default of its own CLI.
    buildkit: info.OSType === 'linux' && !classic,
  }
}
