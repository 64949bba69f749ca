import type { Config } from '../../config.ts'
import type { System } from '../../lib/system.ts'
import { createWorker, type Worker } from '../../lib/worker.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { Denial } from '../identity/authorize.ts'
import type { IdentityOperations } from '../identity/identity-operations.ts'
import { createBlobKeeper } from './blob-keeper.ts'
import { createBlobOperations } from './blob-operations.ts'
import { createBlobStore } from './blob-store.ts'
import { createCollectionOperations } from './collection-operations.ts'
import { createCollectionStore } from './collection-store.ts'
import { createCommitQueue } from './commit-queue.ts'
import { createContentCache } from './content-cache.ts'
import { createControlOperations, type ControlOperations } from './control-operations.ts'
import { createRequireRoom } from './disk-room.ts'
import { createFileHasher } from '../../lib/file-hasher.ts'
import { createSharedBlocks } from '../../lib/shared-blocks.ts'
import { createDirectReads } from './direct-reads.ts'
import { createKeyedLock } from './keyed-lock.ts'
import { createListingOperations } from './listing-operations.ts'
import { createManifestOperations } from './manifest-operations.ts'
import { createManifestStore } from './manifest-store.ts'
import { createPinStore } from './pin-store.ts'
import { createRegistryAuth } from './registry-auth.ts'
import { createRegistryProtocol, type RegistryProtocol } from './registry-operations.ts'
import { createRegistryRules } from './registry-rules.ts'
import { createRegistryStore, type RepositoryRow } from './registry-store.ts'
import { createRegistryTree } from './registry-tree.ts'
import { createReleaseImages, type ReleaseImages } from './release-images.ts'
import { createRepositoryAccess } from './repository-access.ts'
import { createRuleStore } from './rule-store.ts'
import { createScrub } from './scrub.ts'
import { createTokenOperations } from './token-operations.ts'
import { createTokenSigner, ensureSigningKey } from './token-signer.ts'
import { createUploadOperations } from './upload-operations.ts'
import { createUploadSessions } from './upload-sessions.ts'

export interface RegistryDeps {
  database: Database
  system: System
  recordAudit: RecordAudit
  identity: Pick<IdentityOperations, 'authenticate' | 'principals' | 'sessions'>
  /** Rises whenever someone's access may have changed. */
  accessRevision: () => number
  /** Told of every refusal, for the audit log. */
  onDenied: (denial: Denial) => void
  /** A deployment that holds an image, for people: `service web (release 3)`. */
  describeHolder: (deploymentId: string) => string
  /** Whether a service is there and not being deleted. */
  hasService: (serviceId: string) => boolean
  /** Called after a push that made or moved a tag. */
  tagged: () => void
  /** Told of every blob that is found damaged, and of what collections and checks skip. */
  onProblem: (problem: string, details: Record<string, unknown>) => void
  onError: (error: unknown) => void
  settings: Pick<
    Config,
    | 'data_dir'
    | 'disk_reserve_bytes'
    | 'registry_blob_max_bytes'
    | 'registry_upload_ttl_seconds'
    | 'registry_grace_seconds'
    | 'registry_collect_every_seconds'
    | 'registry_scrub_days'
  >
}

export interface Registry {
  protocol: RegistryProtocol
  control: ControlOperations
  /** What deployments ask of it. */
  images: ReleaseImages
  workers: readonly Worker[]
  /** What a project still has in the registry, one line each. */
  describeContents(projectId: string): string[]
  /** Ends the hash threads; after the server has closed. */
  close(): Promise<void>
}

/** Puts the registry's parts together and makes its directories. Nothing runs before its workers are started. */
export async function createRegistry(deps: RegistryDeps): Promise<Registry> {
  const base = await openBase(deps)
  const { system, settings } = deps
  const { store, blobs, manifests, queue, cache, rules, tree, sessions, keeper, hasher } = base
  const pins = createPinStore(deps.database)
  const usersOf = ({ id }: RepositoryRow, digest: string): string[] =>
    pins.holders(id, digest).map(deps.describeHolder)
  const access = createRepositoryAccess({ store, queue, system })
  // An answer to someone who may push is written down when the last one is older than a quarter of the time that it protects.
  const touchEveryMs = settings.registry_grace_seconds * 250
  const manifestOperations = createManifestOperations({
    system,
    blocks: base.blocks,
    access,
    store,
    manifests,
    blobs,
    queue,
    cache,
    rules,
    touchEveryMs,
    tagged: deps.tagged,
    recordAudit: deps.recordAudit,
    usersOf,
  })
  const signer = createTokenSigner(await ensureSigningKey(tree.key, system))
  const { principals } = deps.identity
  const auth = createRegistryAuth({
    system,
    principals,
    signer,
    accessRevision: deps.accessRevision,
    authenticate: deps.identity.authenticate,
    hasService: deps.hasService,
    verifyPassword: deps.identity.sessions.verifyPassword,
  })
  const collections = createCollectionStore(deps.database)
  const collection = createCollectionOperations({
    system,
    store,
    blobs,
    manifests,
    collections,
    queue,
    tree,
    sessions,
    rules,
    cache,
    locks: base.locks,
    usersOf,
    graceMs: settings.registry_grace_seconds * 1000,
    uploadTtlMs: settings.registry_upload_ttl_seconds * 1000,
    onProblem: deps.onProblem,
  })
  const scrub = createScrub({ system, blobs, keeper, queue, everyMs: settings.registry_scrub_days * DAY_MS })
  const protocol = createRegistryProtocol({
    onDenied: deps.onDenied,
    auth,
    tokens: createTokenOperations({ system, blocks: base.blocks, auth, principals, signer, store }),
    blobs: createBlobOperations({
      system,
      access,
      store: blobs,
      keeper,
      queue,
      directReads: createDirectReads(base.blocks, system),
      touchEveryMs,
    }),
    uploads: createUploadOperations({
      system,
      access,
      store,
      blobs,
      keeper,
      queue,
      sessions,
      rules,
      maxBytes: settings.registry_blob_max_bytes,
    }),
    manifests: manifestOperations,
    listings: createListingOperations({ system, access, store, manifests }),
  })
  const control = createControlOperations({
    system,
    database: deps.database,
    store,
    blobs,
    manifests,
    rules,
    sessions,
    collection,
    collections,
    ruleStore: base.ruleStore,
    removal: manifestOperations,
    recordAudit: deps.recordAudit,
    usersIn: ({ id }) => pins.holdersIn(id).map(deps.describeHolder),
    directory: tree.root,
  })
  return {
    protocol,
    control,
    images: createReleaseImages({ database: deps.database, system, store, manifests, pins, signer, rules }),
    workers: [
      createWorker({
        name: 'registry-collection',
        system,
        onError: deps.onError,
        everyMs: settings.registry_collect_every_seconds * 1000,
        run: async (signal) => void (await collection.collect({ dryRun: false }, signal)),
      }),
      createWorker({
        name: 'registry-scrub',
        system,
        onError: deps.onError,
        everyMs: HOUR_MS,
        run: scrub,
      }),
    ],
    describeContents: (projectId) =>
      store.listOfProject(projectId).map((repository) => `repository ${repository.name}`),
    close: () => hasher.close(),
  }
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

async function openBase({ database, system, settings, onProblem }: RegistryDeps) {
  const tree = createRegistryTree(settings.data_dir)
  await tree.prepare()
  const store = createRegistryStore(database)
  const blobs = createBlobStore(database)
  const ruleStore = createRuleStore(database)
  const queue = createCommitQueue(database)
  const cache = createContentCache()
  const hasher = createFileHasher()
  const blocks = createSharedBlocks(system, hasher.rest)
  const locks = createKeyedLock()
  const requireRoom = createRequireRoom({
    system,
    directory: tree.root,
    reserveBytes: settings.disk_reserve_bytes,
  })
  return {
    tree,
    store,
    blobs,
    ruleStore,
    queue,
    cache,
    hasher,
    blocks,
    locks,
    manifests: createManifestStore(database),
    rules: createRegistryRules({ rules: ruleStore, store }),
    sessions: createUploadSessions({
      system,
      tree,
      hasher,
      blocks,
      requireRoom,
      maxBytes: settings.registry_blob_max_bytes,
    }),
    keeper: createBlobKeeper({
      system,
      tree,
      store: blobs,
      queue,
      hasher,
      cache,
      locks,
      onCorrupt: (digest) => onProblem('a blob is damaged and was set aside', { digest }),
    }),
  }
}
