import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { readImageReference } from '../../src/lib/image-reference.ts'
import type { ImageSource } from '../../src/modules/registries/image-source.ts'
import { UpstreamFailed } from '../../src/lib/upstream-failed.ts'
import { AppError } from '../../src/lib/errors.ts'
import type { AuditEntry } from '../../src/modules/audit/audit.ts'
import type { BuildRequest } from '../../src/modules/deployments/steps/source-steps.ts'
import type { System } from '../../src/lib/system.ts'
import type { GitSourceRequest } from '../../src/modules/git/git-source.ts'
import { createProjectStore } from '../../src/modules/projects/project-store.ts'
import { createManifestStore } from '../../src/modules/registry/manifest-store.ts'
import { createRegistryStore } from '../../src/modules/registry/registry-store.ts'
import type { FakeEngine, FakeProgram } from '../../src/runtime/fake-engine.ts'
import { createFakeRuntime } from '../../src/runtime/fake-runtime.ts'
import type { ContainerSpec, Runtime } from '../../src/runtime/runtime.ts'
import type { Database } from '../../src/store/database.ts'
import { createFakeIngress } from './fake-ingress.ts'
import { createHurriedSystem } from './hurried-system.ts'
import { type Answer, openReplicaServer } from './replica-server.ts'
import { openMigrated } from './migrated-database.ts'

/** What an upload contains: how its build goes and what the built application does. */
export interface Source {
  lines?: string[]
  /** The build fails with this reason. */
  fail?: string
  /** The build goes on until this resolves, or until it is cancelled. */
  until?: Promise<void>
  exposed_ports?: number[]
  /** How the application answers its health check; 200 when left out. */
  answer?: Answer
  /** What its container does besides. */
  program?: FakeProgram | ((container: ContainerSpec) => FakeProgram)
  /** Unpacking does this first. */
  unpacking?: (signal: AbortSignal) => Promise<void>
}

const answerOk: Answer = (_, response) => void response.end('ok')

export interface DeliverySettings {
  /** How much faster than the real clock that of the daemons runs. */
  speed: number
  drainSeconds: number
  drainUpgradedSeconds: number
  deployConcurrency: number
}

export interface LogEntry {
  step: string | null
  stream: string
  line: string
}

/** What the registry would keep of a push, as far as releases ask for it. */
function createPushedManifests(database: Database, projectId: string, system: System): FakeEngine['onPush'] {
  const [store, manifests] = [createRegistryStore(database), createManifestStore(database)]
  return ({ repository: name, tag, digest }) => {
    const path = name.slice(name.indexOf('/') + 1)
    store.ensure(projectId, path, system.now())
    const repository = store.find('shop', path)
    if (!repository) throw new Error(`there is no repository ${name}`)
    const row = {
      repository_id: repository.id,
      digest,
      media_type: 'application/vnd.docker.distribution.manifest.v2+json',
      size_bytes: 2,
      subject: null,
      artifact_type: null,
      annotations: null,
      content: Buffer.from('{}'),
    }
    store.setTag(repository.id, tag, manifests.put(row, [], system.now()), { own: true, nowMs: system.now() })
  }
}

export type DeliveryWorld = Awaited<ReturnType<typeof openWorld>>

/**
 * The world around daemons that deploy: real rows in a real file, an engine in memory, an ingress that remembers, replicas that really
 * answer. It outlives each daemon that is booted over it.
 */
export async function openWorld(given: Partial<DeliverySettings> = {}) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-delivery-'))
  const file = join(dataDir, 'berth.db')
  const database = openMigrated(file)
  // A power cut is nothing that these tests can make.
  database.exec('PRAGMA synchronous = OFF')
  const settings: DeliverySettings = {
    speed: 20,
    drainSeconds: 30,
    drainUpgradedSeconds: 60,
    deployConcurrency: 4,
    ...given,
  }
  const system = createHurriedSystem(settings.speed)
  const project = { id: system.newId(), name: 'shop' }
  const { runtime, controls, engine } = createFakeRuntime({ system, nodeId: 'node' })
  const keepPushed = createPushedManifests(database, project.id, system)
  engine.onPush = keepPushed
  const ingress = createFakeIngress()
  const replicas = await openReplicaServer()
  const sources = new Map<string, Source>()
  const taken = new Map<string, string>()
  const commits = new Map<string, string>()
  const logs = new Map<string, LogEntry[]>()
  const now = system.nowIso()
  createProjectStore(database).insert({
    ...project,
    description: '',
    shared_env_sealed: null,
    default_resource_limits: null,
    revision: 1,
    created_at: now,
    updated_at: now,
  })
  controls.build(({ dockerfile }) => {
    const { lines = [], fail, until, exposed_ports = [] } = sources.get(dockerfile) ?? {}
    return {
      lines: lines.map((line) => ({ stream: 'stdout', line })),
      ...(fail !== undefined && { fail }),
      ...(until && { until }),
      image: { exposed_ports },
      program: (container: ContainerSpec) => {
        const { program = {}, answer = answerOk } = sources.get(dockerfile) ?? {}
        const does = typeof program === 'function' ? program(container) : program
        return { address: replicas.addressFor(answer), ...does }
      },
    }
  })

  /** Images of somebody else's registry: where their tags lead. */
  const upstream = new Map<string, string>()
  const imageSource: ImageSource = {
    projectOf: () => undefined,
    mayTake: () => true,
    locate: (_, { image }) => {
      const reference = readImageReference(image)
      return { kind: 'external', reference, registry: undefined, text: image }
    },
    resolve: async ({ text }) => {
      const digest = upstream.get(text)
      if (digest === undefined) throw new UpstreamFailed(`the registry has no ${text}`)
      return digest
    },
    obtain: async (_, digest, { repository, tag, onProgress }) => {
      const image = engine.pushed.get(digest)
      if (!image) throw new UpstreamFailed(`the registry has no ${digest}`)
      engine.pushed.set(`${repository}@${digest}`, image)
      keepPushed({ repository, tag, digest })
      onProgress('Fetched it.')
      return { repository, tag }
    },
  }

  return {
    imageSource,
    /** Has a tag of somebody else's registry lead to a new image; answers its digest. */
    moveTag: (image: string, program: FakeProgram = {}): string => {
      const id = `sha256:${createHash('sha256').update(system.newId()).digest('hex')}`
      const digest = `sha256:${createHash('sha256').update(id).digest('hex')}`
      const info = { id, tags: [], size_bytes: 1, labels: {}, exposed_ports: [], has_command: true }
      engine.pushed.set(digest, info)
      engine.programs.set(id, { address: replicas.addressFor(answerOk), ...program })
      upstream.set(image, digest)
      return digest
    },
    dataDir,
    database,
    system,
    runtime,
    controls,
    fakeEngine: engine,
    ingress,
    project,
    port: replicas.port,
    settings,
    /** Whether deployments are refused. */
    policy: { frozen: false },
    /** Brings a folder to the disk. */
    disk: { sync: async (_directory: string): Promise<void> => {} },
    /** What every daemon met and nobody expected. */
    errors: [] as unknown[],
    audited: [] as AuditEntry[],
    /** Values that are hidden in the logs of deployments, beyond those of their variables. */
    masked: new Map<string, string[]>(),
    /** What files of variables in a source say, by path; a text is why one cannot be used. */
    envFiles: new Map<string, Record<string, string> | string>(),
    /** Deployments in the order in which they were said to be over. */
    overs: [] as { id: string; status: string }[],
    secrets: {
      recipient: () => 'nobody',
      seal: async (values: Readonly<Record<string, string>>) => JSON.stringify(values),
      open: async (document: string) => JSON.parse(document) as Record<string, string>,
      names: (document: string) => Object.keys(JSON.parse(document) as object),
    },
    appendLog: (id: string, entry: LogEntry): void => {
      logs.set(id, [...(logs.get(id) ?? []), entry])
    },
    logs,
    log: (id: string): LogEntry[] => logs.get(id) ?? [],
    logText: (id: string): string => (logs.get(id) ?? []).map(({ line }) => line).join('\n'),

    upload: (source: Source = {}): string => {
      const id = system.newId()
      sources.set(id, source)
      return id
    },
    takeUpload: (_: string, id: string, deploymentId: string) => {
      if (!sources.has(id)) throw new AppError('NOT_FOUND')
      if ((taken.get(id) ?? deploymentId) !== deploymentId) throw new AppError('UPLOAD_USED')
      taken.set(id, deploymentId)
      return { sha256: 'sha', size_bytes: 1 }
    },
    unpack: async (id: string, directory: string, signal: AbortSignal) => {
      await sources.get(id)?.unpacking?.(signal)
      await writeFile(join(directory, 'source-id'), id)
      return { entries: 1, bytes: id.length }
    },
    /** Adds a commit to the one repository of the world; answers its sha. */
    push: (source: Source = {}): string => {
      const id = system.newId()
      const sha = createHash('sha1').update(id).digest('hex')
      sources.set(id, source)
      commits.set(sha, id)
      return sha
    },
    /** Fetches the named commit, else the newest. */
    fetchGit: async ({ git_ref, source_dir, signal, log }: GitSourceRequest) => {
      const head = [...commits.keys()].at(-1) ?? ''
      const sha = git_ref !== null && /^[0-9a-f]{40}$/.test(git_ref) ? git_ref : head
      const id = commits.get(sha)
      if (id === undefined)
        throw new AppError('GIT_FAILED', { message: `The repository has no commit ${sha}.` })
      await sources.get(id)?.unpacking?.(signal)
      await writeFile(join(source_dir, 'source-id'), id)
      log(`Fetched ${sha}.`)
      const ref = sha === git_ref ? null : 'refs/heads/main'
      return { commit: { sha, ref, author: 'Olive', message: `Commit ${sha}` }, entries: 1, bytes: id.length }
    },
    /** Builds what was unpacked, in the fake engine. */
    build: async (request: BuildRequest, engineOfDaemon: Runtime) => {
      const id = await readFile(join(request.source_dir, 'source-id'), 'utf8')
      const { image_id } = await engineOfDaemon.buildImage(
        {
          context: Readable.from([Buffer.from(id)]),
          dockerfile: id,
          build_args: {},
          secrets: request.secrets,
          labels: request.labels,
          tag: request.tag,
          memory_bytes: 0,
          cpu_millis: 0,
        },
        request.onLine,
        request.signal,
      )
      return { image_id, exposed_ports: sources.get(id)?.exposed_ports ?? [], builder: 'dockerfile' }
    },

    /** Containers of the engine by what they do. */
    running: (): string[] =>
      [...engine.containers.values()]
        .filter(({ phase }) => phase === 'running')
        .map(({ spec }) => spec.name)
        .toSorted(),
    containers: (): string[] => [...engine.containers.keys()].toSorted(),
    close: async (): Promise<void> => {
      await replicas.close()
      database.close()
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}
