import { inTurn } from '../lib/in-turn.ts'
import { createWorker } from '../lib/worker.ts'
import { createAcmeAccounts } from '../modules/certificates/acme-account.ts'
import { makeRequest } from '../modules/certificates/acme-server.ts'
import { createCertificateOperations } from '../modules/certificates/certificate-operations.ts'
import { createOrderRun } from '../modules/certificates/certificate-order.ts'
import type { ServedName } from '../modules/certificates/certificate-plan.ts'
import { createCertificateWorker, OrderGone } from '../modules/certificates/certificate-worker.ts'
import { createPairKeeper } from '../modules/certificates/pair-keeper.ts'
import { makeSelfSigned } from '../modules/certificates/self-signed-pairs.ts'
import { createSelfSignedUpkeep } from '../modules/certificates/self-signed-upkeep.ts'
import { PROPAGATION_MS, waitForRecord } from '../modules/domains/dns-check.ts'
import { createDnsHook } from '../modules/domains/dns-hook.ts'
import { createNameLookup } from '../modules/domains/name-lookup.ts'
import { serviceHostnames } from '../modules/services/service-hostname.ts'
import { readRouting } from '../modules/services/service-schema.ts'
import type { Access } from './access.ts'
import { type Base, reporter } from './base.ts'
import type { Traffic } from './traffic.ts'

const LOOK_EVERY_MS = 5_000

/** Certificates for the hostnames that are served. */
export function composeCertificates(base: Base, { audit, secrets }: Access, traffic: Traffic) {
  const { config, system, stores, state } = base
  const store = stores.certificates
  const enabled = config.acme_email !== undefined
  const listNames = (): ServedName[] => listServedNames(base, traffic)
  const accounts = createAcmeAccounts({
    store,
    system,
    seal: secrets.seal,
    open: secrets.open,
    email: config.acme_email ?? '',
    directories: { staging: config.acme_staging_directory_url, production: config.acme_directory_url },
    caFile: config.acme_ca_file,
    external: { kid: config.acme_eab_kid, hmacKey: config.acme_eab_hmac_key },
  })
  const propagation = { lookup: createNameLookup(config.dns_servers), system, propagationMs: PROPAGATION_MS }
  const obtain = createOrderRun({
    system,
    makeRequest,
    seal: secrets.seal,
    open: secrets.open,
    record: (id, change) => {
      if (!store.change(id, change)) throw new OrderGone()
    },
    publishChallenges: traffic.publishChallenges,
    hook: createDnsHook(config.dns_hook, system),
    waitForRecord: (name, value, signal) => waitForRecord(propagation, name, value, signal),
    labelOf: (hostname) => {
      const domain = stores.domains.findVerified(hostname)
      return domain ? traffic.labelOf(domain.service_id) : ''
    },
  })
  const files = traffic.ingress.certificates
  const pairs = createPairKeeper(files, store.listFileIds)
  const database = state.database
  const shared = { database, store, system, recordAudit: audit.record, files, pairs, listNames, enabled }
  const keeper = createCertificateWorker({
    ...shared,
    stagingFirst: config.acme_staging_first,
    openServer: accounts.open,
    forgetAccount: accounts.forget,
    obtain,
    publish: traffic.publishCertificates,
  })
  const settleSelfSigned = inTurn(
    createSelfSignedUpkeep({ ...shared, make: makeSelfSigned, publish: keeper.publish }),
  )
  const make = (name: string, run: (signal: AbortSignal) => Promise<void>) =>
    createWorker({ name, system, everyMs: LOOK_EVERY_MS, run, onError: reporter(base, name) })
  // Apart from each other: an authority that is slow holds up no name that is not to wait for it.
  const selfSigned = make('self-signed', settleSelfSigned)
  const obtaining = make('certificates', async (signal) => {
    await keeper.run(signal)
    selfSigned.nudge()
  })
  const workers = [obtaining, selfSigned]
  const changed = (): void => {
    for (const each of workers) each.nudge()
  }
  /** Publishes in any case: what is revoked or removed must not be served on because something else fails. */
  const publish = async (): Promise<void> => {
    await settleSelfSigned().catch(reporter(base, 'self-signed'))
    await keeper.publish()
  }
  const operations = createCertificateOperations({
    ...shared,
    projectExists: (id) => stores.projects.find(id) !== undefined,
    claimedNames: (projectId) =>
      projectId === null
        ? [config.control_domain ?? []].flat()
        : [
            ...stores.domains.hostnamesOfProject(projectId),
            ...listNames().flatMap((name) => (name.project_id === projectId ? [name.hostname] : [])),
          ],
    openServer: () => accounts.open('production'),
    publish,
    certificatesChanged: changed,
  })
  return { workers, operations, publish, changed }
}
export type Certificates = ReturnType<typeof composeCertificates>

/** The hostnames that are served now: verified domains, the control domain, and the names of services below it. */
function listServedNames({ config, stores }: Base, traffic: Traffic): ServedName[] {
  const services = new Map(stores.services.listAll().map((service) => [service.id, service]))
  const domains = stores.domains.listVerified().flatMap((domain) => {
    const service = services.get(domain.service_id)
    if (!service) return []
    const { tls_enabled: wanted } = readRouting(service.routing)
    const { hostname, project_id, self_signed } = domain
    return [{ hostname, project_id, wanted, self_signed }]
  })
  const control = config.control_domain
  if (control === undefined) return domains
  const selfSigned = config.control_self_signed
  const own = [...services.values()].flatMap((service) => {
    if (service.live_deployment_id === null) return []
    const [hostname = ''] = serviceHostnames(
      service.name,
      traffic.projectNameOf(service.project_id) ?? '',
      control,
    )
    const wanted = config.acme_service_names && readRouting(service.routing).tls_enabled
    return [{ hostname, project_id: service.project_id, wanted, self_signed: selfSigned }]
  })
  return [...domains, ...own, { hostname: control, project_id: null, wanted: true, self_signed: selfSigned }]
}
