import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { System } from '../../../src/lib/system.ts'
import { createAcmeAccounts } from '../../../src/modules/certificates/acme-account.ts'
import { makeRequest } from '../../../src/modules/certificates/acme-server.ts'
import { type Obtained, createOrderRun } from '../../../src/modules/certificates/certificate-order.ts'
import type { ServedName } from '../../../src/modules/certificates/certificate-plan.ts'
import type { CertificateRow, OrderStage } from '../../../src/modules/certificates/certificate-schema.ts'
import { createCertificateStore } from '../../../src/modules/certificates/certificate-store.ts'
import {
  createCertificateWorker,
  OrderGone,
  type PublishedCertificate,
} from '../../../src/modules/certificates/certificate-worker.ts'
import { createPairKeeper, type PairFiles } from '../../../src/modules/certificates/pair-keeper.ts'
import { waitForRecord } from '../../../src/modules/domains/dns-check.ts'
import type { DnsHook } from '../../../src/modules/domains/dns-hook.ts'
import { createNameLookup } from '../../../src/modules/domains/name-lookup.ts'
import { createSecrets } from '../../../src/modules/secrets/secrets.ts'
import { type DnsServer, startDnsServer } from '../../support/dns-server.ts'
import { createHurriedSystem } from '../../support/hurried-system.ts'
import { startRenewalFront } from '../../support/renewal-front.ts'
import { type PebbleOptions, startPebble } from '../../support/pebble.ts'
import { openMigrated } from '../../support/migrated-database.ts'

export const NAME = 'shop.example.com'

export interface FixtureOptions {
  pebble?: Partial<PebbleOptions>
  stagingFirst?: boolean
  external?: { kid: string; hmacKey: string }
  /** Renewal information is there to be had. */
  renewalInfo?: boolean
  hook?: (dns: DnsServer) => DnsHook
  /** A second authority, for the stage before the real one. */
  staging?: boolean
}

/** The worker of certificates with a real authority and a real database; the proofs are answered by a server of the test. */
export async function openCertificates(t: Test, options: FixtureOptions = {}) {
  const { dataDir, database, system, store } = await openStore(t)
  const secrets = await createSecrets({ dataDir, system })
  const dns = await startDnsServer(t)
  dns.zones.set(NAME, { a: ['127.0.0.1'] })
  const proofs = createServer((request, response) => {
    const token = (request.url ?? '').split('/').at(-1)
    const host = (request.headers.host ?? '').split(':')[0]
    const found = store
      .listChallenges()
      .find(({ hostname, challenge }) => hostname === host && challenge.token === token)
    response.writeHead(found ? 200 : 404).end(found?.challenge.body ?? '')
  })
  proofs.listen(0, '127.0.0.1')
  await once(proofs, 'listening')
  t.teardown(() => proofs.close())
  const pebbleOptions: PebbleOptions = {
    httpPort: (proofs.address() as AddressInfo).port,
    dnsServer: dns.address,
    ...(options.external && { external: options.external }),
    ...options.pebble,
  }
  const pebble = await startPebble(t, pebbleOptions)
  const front = options.renewalInfo ? await startRenewalFront(t, pebble) : undefined
  const directoryUrl = front?.directoryUrl ?? pebble.directoryUrl
  const files = memoryFiles()
  const propagation = { lookup: createNameLookup([dns.address]), system, propagationMs: 20_000 }
  const names: ServedName[] = [{ hostname: NAME, project_id: null, wanted: true, self_signed: false }]
  const audited: string[] = []
  let published: PublishedCertificate[] = []
  let faults: ((change: object, system: System) => void) | undefined
  const open = (external = options.external) => {
    const accounts = createAcmeAccounts({
      store,
      system,
      seal: secrets.seal,
      open: secrets.open,
      email: 'ops@example.com',
      directories: { staging: `${directoryUrl}?staging`, production: directoryUrl },
      caFile: pebble.caFile,
      external: { kid: external?.kid, hmacKey: external?.hmacKey },
    })
    const stages: OrderStage[] = []
    const worker = createCertificateWorker({
      database,
      store,
      system,
      recordAudit: (_, { action }) => void audited.push(action),
      files,
      pairs: createPairKeeper(files, store.listFileIds),
      listNames: () => names,
      enabled: true,
      stagingFirst: options.stagingFirst ?? false,
      openServer: (stage) => {
        stages.push(stage)
        return accounts.open(stage)
      },
      forgetAccount: accounts.forget,
      obtain: createOrderRun({
        system,
        makeRequest,
        seal: secrets.seal,
        open: secrets.open,
        record: (id, change) => {
          faults?.(change, system)
          if (!store.change(id, change)) throw new OrderGone()
        },
        publishChallenges: async () => {},
        hook: options.hook?.(dns),
        waitForRecord: (name, value, ending) => waitForRecord(propagation, name, value, ending),
        labelOf: () => 'shop/web',
      }),
      publish: async (entries) => void (published = entries),
    })
    return { worker, accounts, stages }
  }
  const first = open()
  const signal = new AbortController().signal
  return {
    ...first,
    reopen: open,
    run: () => first.worker.run(signal),
    signal,
    database,
    store,
    system,
    dns,
    pebble,
    front,
    files,
    pairs: createPairKeeper(files, store.listFileIds),
    names,
    audited,
    published: () => published,
    /** Called before each record of an order, to fail there. */
    onRecord: (fault: typeof faults) => void (faults = fault),
    row: (): CertificateRow => {
      const [row] = store.listAll()
      if (!row) throw new Error('there is no certificate')
      return row
    },
  }
}

/** A real database, and a clock that can be put forward. */
export async function openStore(t: Test) {
  const dataDir = await mkdtemp(join(tmpdir(), 'berth-certificates-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const database = openMigrated(join(dataDir, 'berth.db'))
  t.teardown(() => database.close())
  return { dataDir, database, system: createHurriedSystem(1), store: createCertificateStore(database) }
}

function idOf(pair: Obtained): string {
  return createHash('sha256').update(pair.chain_pem).digest('hex')
}

export function memoryFiles(): PairFiles & { pairs: Map<string, Obtained> } {
  const pairs = new Map<string, Obtained>()
  return {
    pairs,
    idOf,
    write: async (pair) => {
      pairs.set(idOf(pair), pair)
      return idOf(pair)
    },
    read: async (id) => pairs.get(id),
    remove: async (id) => void pairs.delete(id),
    setAside: async (id) => void pairs.delete(id),
    list: async () => [...pairs.keys()],
  }
}
