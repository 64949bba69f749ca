import type { Readable } from 'node:stream'
import type { VolumeRoot } from './volume-root.ts'

/**
 * The port to a container engine: about a dozen verbs, spoken by the deployments, the reconciler and the log follower.
 *
 * Every verb that makes something is "ensure"-shaped: names derive from Berth's own ids, so that a step that ran half-way finds its
 * earlier work. When the engine is away or does not answer in time every verb throws AppError RUNTIME_UNAVAILABLE. Aborting the signal of
 * a verb rejects with the signal's reason.
 *
 * A runtime belongs to one node: it adds `berth.node` to all that it makes, lists only what carries its own, and leaves alone what does
 * not. Containers that only inherited it are nobody's; images that did are listed, and whoever removes one names it. A container or network of a wanted name that is someone else's throws CONFLICT.
 */
export interface Runtime {
  /** Asks the engine who it is. */
  inspectEngine(signal?: AbortSignal): Promise<EngineInfo>

  /** Makes the bridge network unless it exists, on a subnet of its own. No free subnet throws CONFLICT. */
  ensureNetwork(network: NetworkSpec): Promise<void>
  /** Removes the network; absent is fine; in use throws CONFLICT. */
  removeNetwork(name: string): Promise<void>

  /** Makes the volume unless it exists; whether it did. */
  ensureVolume(volume: VolumeSpec): Promise<boolean>
  /** Removes the volume with all that is in it; absent is fine; in use throws CONFLICT. */
  removeVolume(name: string): Promise<void>
  /** Volumes that carry all of these labels. */
  listVolumes(labels: Record<string, string>): Promise<VolumeInfo[]>
  /** The contents of a volume as an uncompressed tar, with owners and modes, read as fast as it is taken. Absent throws NOT_FOUND. */
  readVolume(name: string, signal: AbortSignal): Promise<Readable>
  /**
   * Unpacks an uncompressed tar into a volume, over what is there; what it says of the root itself is left to `setVolumeRoot`. When it throws,
   * some of it may be there. The tar is destroyed in any case. Absent throws NOT_FOUND.
   */
  writeVolume(name: string, contents: Readable, signal: AbortSignal): Promise<void>
  /** Gives the root folder of a volume an owner, a mode and a time; what is in it stays as it is. Absent throws NOT_FOUND. */
  setVolumeRoot(name: string, root: VolumeRoot, signal: AbortSignal): Promise<void>

  /** The image behind a reference or id, or undefined. */
  findImage(reference: string): Promise<ImageInfo | undefined>
  /** Makes an image of one layer from a root file system as an uncompressed tar, and tags it once it is whole. Returns its id. */
  importImage(rootfs: Readable, image: ImportSpec, signal?: AbortSignal): Promise<string>
  /**
   * Builds from a context (uncompressed tar). Each line of progress goes to `onLine` as it happens. Throws BuildFailed when a step fails.
   * Aborting the signal stops the build in the engine; its context is destroyed in any case.
   */
  buildImage(
    build: BuildSpec,
    onLine: (line: BuildLine) => void,
    signal: AbortSignal,
  ): Promise<{ image_id: string }>
  /**
   * Removes what the engine keeps of earlier builds and none needs now: what was not used for that time, then what was used longest ago until
   * the rest fits. The cache is the whole engine's: its entries belong to no node. An engine that keeps none reclaims nothing.
   */
  pruneBuildCache(bounds: BuildCacheBounds, signal?: AbortSignal): Promise<{ reclaimed_bytes: number }>
  /**
   * Pushes an image to a registry under a tag and answers the manifest's digest there; pushing again is fine and sends what is missing. The
   * engine keeps no name of the registry's. An image that is absent throws NOT_FOUND; what the registry or the way to it refuses throws
   * TransferFailed.
   */
  pushImage(image: string, to: ImagePlace & { tag: string }, signal: AbortSignal): Promise<{ digest: string }>
  /** Pulls a manifest by its digest and names its image `tag`; the engine keeps no other name of it. Throws TransferFailed. */
  pullImage(from: ImagePlace & { digest: string }, tag: string, signal: AbortSignal): Promise<ImageInfo>
  /** Images that carry all of these labels, also by being made from one that does. */
  listImages(labels: Record<string, string>): Promise<ImageInfo[]>
  /** All tags of the engine, also other nodes', that begin with the prefix. */
  listTags(prefix: string): Promise<string[]>
  /** Removes a tag or image; absent is fine; in use throws CONFLICT. */
  removeImage(reference: string): Promise<void>

  /**
   * Makes the container unless one of that name exists with the same `berth.spec` label; another one of that name is replaced. Returns its
   * id. An image that is absent throws NOT_FOUND; what the engine will not make of it throws ContainerRefused.
   */
  ensureContainer(container: ContainerSpec): Promise<string>
  /** Starts it; already running is fine; absent throws NOT_FOUND; what cannot be started throws ContainerRefused. */
  startContainer(name: string): Promise<void>
  /** SIGTERM, then SIGKILL after the grace period; absent or stopped is fine. */
  stopContainer(name: string, graceSeconds: number): Promise<void>
  /** Kills and removes it with its anonymous volumes; absent is fine. */
  removeContainer(name: string): Promise<void>
  inspectContainer(name: string): Promise<ContainerInfo | undefined>
  /** What the container with this id has used so far; undefined when it does not run, or where this machine does not say. */
  readUsage(containerId: string): Promise<ContainerUsage | undefined>
  /** Containers, running or not, that carry all of these labels. */
  listContainers(labels: Record<string, string>): Promise<ContainerInfo[]>
  /**
   * Output lines as the engine kept them, from `since` on; ends without error when the container stops, is absent, or `signal` aborts. Lines
   * of one stream are in order; standard output and error are not among each other, so a reader that resumes goes back a little and drops
   * what it has. A reader that stops reading holds the engine back, nothing is buffered for it. Leave a quiet stream by the signal:
   * `return()` waits for the next line.
   */
  followLogs(name: string, options: FollowOptions, signal: AbortSignal): AsyncIterable<LogChunk>
  /** Container events from the call on. Ends when `signal` aborts; throws RUNTIME_UNAVAILABLE when the engine goes away. */
  watchEvents(signal: AbortSignal): AsyncIterable<RuntimeEvent>
}

export interface EngineInfo {
  version: string
  api_version: string
  cgroup_version: string
  /** `cgroupfs` or `systemd`: who arranges the cgroups of containers. */
  cgroup_driver: string
  os: string
  kernel: string
  cpus: number
  memory_bytes: number
  /** Whether builds go through BuildKit. */
  buildkit: boolean
}

export interface NetworkSpec {
  name: string
  labels: Record<string, string>
}

export interface VolumeSpec {
  name: string
  labels: Record<string, string>
}

export interface VolumeInfo extends VolumeSpec {
  /** Where its contents are on the machine of the engine; null when that is nowhere. */
  directory: string | null
}

/** A volume in a container. */
export interface MountSpec {
  volume: string
  /** Absolute. An empty volume is first filled with what the image has there. */
  path: string
  read_only: boolean
}

export interface ImageInfo {
  id: string
  tags: string[]
  size_bytes: number
  labels: Record<string, string>
  /** Ports that the image exposes over TCP, ascending. */
  exposed_ports: number[]
  /** Entrypoint and command together are what runs. */
  has_command: boolean
}

export interface ImportSpec {
  tag: string
  labels: Record<string, string>
  env: Record<string, string>
  cmd?: string[]
  entrypoint?: string[]
  workdir?: string
  user?: string
}

export interface BuildSpec {
  /** The build context as an uncompressed tar; read once. */
  context: Readable
  /** Path of the Dockerfile inside the context. */
  dockerfile: string
  target?: string
  build_args: Record<string, string>
  /** What steps may ask for by name (`RUN --mount=type=secret,id=NAME`); never in the image or its history. Needs BuildKit, else BuildFailed. */
  secrets?: Readonly<Record<string, string>>
  labels: Record<string, string>
  tag: string
  /** Bounds of this build. With BuildKit the builds that run share the sum of theirs, where its cgroup can be written to. */
  memory_bytes: number
  cpu_millis: number
}

/** Both hold. */
export interface BuildCacheBounds {
  /** At least 1. */
  max_bytes: number
  /** At least 1. */
  unused_for_seconds: number
}

/** A repository of a registry, with what lets the engine in. */
export interface ImagePlace {
  /** Address as the engine reaches it, `127.0.0.1:7180`: on loopback it speaks plain HTTP. */
  host: string
  repository: string
  /** A bearer token of the registry, good for this repository. */
  token: string
}

export interface BuildLine {
  /** `status` is the builder's own word; the others are output of a step. */
  stream: 'stdout' | 'stderr' | 'status'
  line: string
}

/** A build that ran and failed by its own fault; `message` is for the deployment log. */
export class BuildFailed extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'BuildFailed'
  }
}

/** A push or pull that the registry refused or that did not get through; `message` is for the deployment log. */
export class TransferFailed extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'TransferFailed'
  }
}

/** The engine will not make or start a container, by the fault of its image or command; `message` is for the deployment log. */
export class ContainerRefused extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ContainerRefused'
  }
}

export interface ContainerSpec {
  name: string
  image: string
  /** Replaces the image's CMD; the entrypoint stays. */
  command?: string[]
  env: Record<string, string>
  labels: Record<string, string>
  network: string
  /** DNS names on that network. */
  aliases: string[]
  cpu_millis: number
  memory_bytes: number
  pids: number
  read_only: boolean
  stop_grace_seconds: number
  /** Left out when there are none. */
  mounts?: MountSpec[]
}

export const CONTAINER_STATES = ['created', 'running', 'exited'] as const
export type ContainerPhase = (typeof CONTAINER_STATES)[number]

export interface ContainerInfo {
  id: string
  name: string
  /** `exited` covers dead and removing; `running` covers paused and restarting. */
  phase: ContainerPhase
  labels: Record<string, string>
  image: string
  /** Address on its Berth network while it runs. */
  address: string | null
  exit_code: number | null
  /**
   * The engine says the kernel killed it for memory. True is also said when only a child died; false proves nothing, some engines miss it:
   * an exit code of 137 that nobody asked for is most likely memory too.
   */
  oom_killed: boolean
  /** RFC 3339, null before the first start. */
  started_at: string | null
  finished_at: string | null
  /** The engine's own word on why it could not start, if any. */
  error: string | null
}

export interface ContainerUsage {
  /** Processor time since it was started, in microseconds. */
  cpu_us: number
  /** Without what the kernel would give back at once. */
  memory_bytes: number
}

export interface FollowOptions {
  /** RFC 3339 with up to nanoseconds; lines at or after it are given. */
  since?: string
  /** False: give what there is and end. */
  follow: boolean
  /** Only the last n lines. */
  tail?: number
}

export interface LogChunk {
  stream: 'stdout' | 'stderr'
  /** RFC 3339 with nanoseconds, as the engine stamped it. */
  ts: string
  /** One line without its newline, at most 16 KiB. */
  line: string
  /** The line goes on in the next chunk of the same stream: the engine splits at 16 KiB. */
  partial: boolean
}

export interface RuntimeEvent {
  kind: 'start' | 'die' | 'destroy' | 'oom'
  container_name: string
  labels: Record<string, string>
  exit_code: number | null
  at: string
}
