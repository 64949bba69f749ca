import { createHash } from 'node:crypto'
import type { System } from '../lib/system.ts'
import type {
  ContainerInfo,
  ContainerSpec,
  ContainerUsage,
  ImageInfo,
  LogChunk,
  NetworkSpec,
  RuntimeEvent,
  VolumeSpec,
} from './runtime.ts'
import type { VolumeRoot } from './volume-root.ts'

/** What a container of an image does once it is started. */
export interface FakeProgram {
  /** Said at once. */
  lines?: { stream: 'stdout' | 'stderr'; line: string }[]
  /** Exits by itself; without it, it runs until it is stopped. */
  exit?: { code: number; after_ms?: number; oom_killed?: boolean }
  /** What it has used so far. */
  usage?: () => ContainerUsage
  /** The engine refuses to start it, with this reason. */
  refuse?: string
  /** Where it is reached, such as the loopback address of a real server; by default one that nobody listens on. */
  address?: string
  /** On SIGTERM it exits with this code; `ignore` waits for SIGKILL. Default 143. */
  sigterm?: number | 'ignore'
}

export type FakeProgramOf = FakeProgram | ((container: ContainerSpec) => FakeProgram | Promise<FakeProgram>)

export interface FakeContainer {
  id: string
  spec: ContainerSpec
  labels: Record<string, string>
  phase: ContainerInfo['phase']
  address: string | null
  exit_code: number | null
  oom_killed: boolean
  started_at: string | null
  finished_at: string | null
  error: string | null
  log: LogChunk[]
  program: FakeProgram
  /** Rises with each start, so that a timer of an earlier one does nothing. */
  starts: number
}

/**
 * A container engine in memory: what it holds lives on when a daemon that used it is gone, so that the next one finds it.
 *
 * It keeps the rules that Berth relies on (names are unique, images in use stay, output ends with the container) and none of its own.
 */
export interface FakeEngine {
  readonly networks: Map<string, NetworkSpec>
  readonly images: Map<string, ImageInfo>
  /** With their contents as one tar. None has a directory unless a test says so. */
  readonly volumes: Map<string, VolumeSpec & { contents: Buffer; root?: VolumeRoot; directory?: string }>
  readonly containers: Map<string, FakeContainer>
  /** By image reference or id. */
  readonly programs: Map<string, FakeProgramOf>
  /** What builds left behind, by what went into them. Instants are milliseconds since 1970. */
  readonly buildCache: Map<string, { size_bytes: number; used_at: number }>
  /** What was pushed to the registry in memory, by repository and digest. */
  readonly pushed: Map<string, ImageInfo>
  /** Told of each push to it. */
  onPush: (to: { repository: string; tag: string; digest: string }) => void
  away: boolean
  /** Runs a container's program. */
  start(container: FakeContainer): Promise<void>
  /** Ends a container that runs. */
  exit(container: FakeContainer, code: number, oomKilled?: boolean): void
  print(container: FakeContainer, stream: 'stdout' | 'stderr', line: string): void
  /** Takes a container away, running or not. */
  remove(container: FakeContainer): void
  onEvent(listener: (event: RuntimeEvent) => void): () => void
  /** Says that something changed; whoever waits looks again. */
  notify(): void
  /** Resolves at the next change, or when the signal aborts. */
  changed(signal: AbortSignal): Promise<void>
}

export function createFakeEngine(system: System): FakeEngine {
  const news = createNews()
  let addresses = 0
  let lines = 0

  const emit = (container: FakeContainer, kind: RuntimeEvent['kind']): void =>
    news.emit({
      kind,
      container_name: container.spec.name,
      labels: container.labels,
      exit_code: kind === 'die' ? container.exit_code : null,
      at: system.nowIso(),
    })

  const engine: FakeEngine = {
    networks: new Map(),
    images: new Map(),
    volumes: new Map(),
    containers: new Map(),
    programs: new Map(),
    buildCache: new Map(),
    pushed: new Map(),
    onPush: () => {},
    away: false,
    onEvent: news.onEvent,
    notify: news.notify,
    changed: news.changed,

    start: async (container) => {
      container.program = await programOf(engine, container.spec)
      if (container.program.refuse !== undefined) {
        container.error = container.program.refuse
        return
      }
      addresses += 1
      const address = container.program.address ?? `10.255.${addresses >> 8}.${addresses & 255}`
      Object.assign(container, { ...FRESH, phase: 'running', address, started_at: system.nowIso() })
      container.starts += 1
      emit(container, 'start')
      for (const { stream, line } of container.program.lines ?? []) engine.print(container, stream, line)
      scheduleExit(engine, container, system)
      engine.notify()
    },

    exit: (container, exit_code, oom_killed = false) => {
      if (container.phase !== 'running') return
      Object.assign(container, {
        phase: 'exited',
        address: null,
        exit_code,
        oom_killed,
        finished_at: system.nowIso(),
      })
      if (oom_killed) emit(container, 'oom')
      emit(container, 'die')
      engine.notify()
    },

    print: (container, stream, line) => {
      lines += 1
      // Nanoseconds that rise with every line, as the engine's practically do.
      const ts = system.nowIso().replace('Z', `${String(lines % 1_000_000).padStart(6, '0')}Z`)
      container.log.push({ stream, ts, line, partial: false })
      engine.notify()
    },

    remove: (container) => {
      engine.exit(container, 137)
      engine.containers.delete(container.spec.name)
      emit(container, 'destroy')
      engine.notify()
    },
  }
  return engine
}

/** What a start forgets of the life before it. */
const FRESH = { exit_code: null, oom_killed: false, error: null, finished_at: null }

interface News extends Pick<FakeEngine, 'onEvent' | 'notify' | 'changed'> {
  emit(event: RuntimeEvent): void
}

function createNews(): News {
  const listeners = new Set<(event: RuntimeEvent) => void>()
  const waiting = new Set<() => void>()
  return {
    emit: (event) => {
      for (const listener of listeners) listener(event)
    },
    onEvent: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    notify: () => {
      const all = [...waiting]
      waiting.clear()
      for (const wake of all) wake()
    },
    changed: (signal) =>
      new Promise((resolve) => {
        const wake = (): void => {
          signal.removeEventListener('abort', wake)
          waiting.delete(wake)
          resolve()
        }
        waiting.add(wake)
        signal.addEventListener('abort', wake)
        if (signal.aborted) wake()
      }),
  }
}

async function programOf(engine: FakeEngine, spec: ContainerSpec): Promise<FakeProgram> {
  const image = engine.images.get(spec.image)
  const keys = [spec.image, image?.id, ...(image?.tags ?? [])]
  const program = keys.map((key) => engine.programs.get(key ?? '')).find((found) => found !== undefined)
  return typeof program === 'function' ? program(spec) : (program ?? {})
}

function scheduleExit(engine: FakeEngine, container: FakeContainer, system: System): void {
  const { exit } = container.program
  if (!exit) return
  const { starts } = container
  const end = (): void => {
    if (container.starts === starts) engine.exit(container, exit.code, exit.oom_killed ?? false)
  }
  if (exit.after_ms === undefined) end()
  else system.later(exit.after_ms, end)
}

/** The image behind a reference, tag or id. */
export function findFakeImage(engine: FakeEngine, reference: string): ImageInfo | undefined {
  return (
    engine.images.get(reference) ??
    [...engine.images.values()].find((image) => image.id === reference || image.tags.includes(reference))
  )
}

/** Puts an image there, as a pull from somewhere would. Returns it. */
export function addFakeImage(engine: FakeEngine, tag: string, image: Partial<ImageInfo> = {}): ImageInfo {
  const id = image.id ?? `sha256:${createHash('sha256').update(tag).digest('hex')}`
  for (const other of engine.images.values()) other.tags = other.tags.filter((known) => known !== tag)
  const known = engine.images.get(id)
  const added: ImageInfo = {
    size_bytes: 1_000_000,
    labels: {},
    exposed_ports: [],
    has_command: true,
    ...known,
    ...image,
    id,
    tags: [...new Set([...(known?.tags ?? []), tag])],
  }
  engine.images.set(id, added)
  return added
}
