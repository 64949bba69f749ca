import { networkInterfaces } from 'node:os'
import { createDnsCheck, PROPAGATION_MS } from '../modules/domains/dns-check.ts'
import { createDnsHook } from '../modules/domains/dns-hook.ts'
import { createDomainCheck } from '../modules/domains/domain-check.ts'
import { createDomainOperations } from '../modules/domains/domain-operations.ts'
import { createDomainUpkeep } from '../modules/domains/domain-upkeep.ts'
import { createHttpCheck } from '../modules/domains/http-check.ts'
import { createNameLookup } from '../modules/domains/name-lookup.ts'
import { createWorker } from '../lib/worker.ts'
import type { Access } from './access.ts'
import { type Base, reporter } from './base.ts'
import type { Certificates } from './certificates.ts'
import type { Traffic } from './traffic.ts'

const DAY_MS = 86_400_000
const CHECK_TIMEOUT_MS = 10_000
const LOOK_EVERY_MS = 5_000

/** Hostnames of services: claims, their proofs, and what becomes of them. */
export function composeDomains(base: Base, { audit }: Access, traffic: Traffic, certificates: Certificates) {
  const { config, system, stores, state } = base
  const ending = new AbortController()
  const lookup = createNameLookup(config.dns_servers)
  const challengePort = (): number =>
    config.domain_check_port === 0 ? traffic.ports.http : config.domain_check_port
  const { labelOf } = traffic
  const claimsChanged = (): void => {
    traffic.routes.worker.nudge()
    certificates.changed()
    challenges.nudge()
  }
  const challenges = createWorker({
    name: 'challenges',
    system,
    everyMs: 60_000,
    run: traffic.publishChallenges,
    onError: reporter(base, 'challenges'),
  })
  const shared = {
    database: state.database,
    store: stores.domains,
    system,
    recordAudit: audit.record,
  }
  const claimMs = config.domain_claim_days * DAY_MS
  const check = createDomainCheck({
    ...shared,
    rules: { claimMs, graceMs: config.domain_grace_hours * 3_600_000 },
    checkHttp: createHttpCheck({
      lookup,
      port: challengePort,
      allowInternal: config.domain_internal_addresses,
      ownAddresses: () => [...config.public_addresses, ...interfaceAddresses()],
      timeoutMs: CHECK_TIMEOUT_MS,
    }),
    checkDns: createDnsCheck({
      lookup,
      hook: createDnsHook(config.dns_hook, system),
      labelOf,
      system,
      propagationMs: PROPAGATION_MS,
    }),
    signal: ending.signal,
    routingChanged: claimsChanged,
  })
  const operations = createDomainOperations({
    ...shared,
    projectOfService: stores.services.projectOf,
    labelOf,
    check,
    publishRoutes: traffic.routes.publish,
    publishChallenges: traffic.publishChallenges,
    certificatesOf: certificates.operations.summaries,
    publishCertificates: certificates.publish,
    claimsChanged,
    claimMs,
    controlDomain: config.control_domain,
    challengePort,
  })
  const onError = reporter(base, 'domains')
  const worker = createWorker({
    name: 'domains',
    system,
    everyMs: LOOK_EVERY_MS,
    run: createDomainUpkeep({ ...shared, check, claimsChanged, onError }),
    onError,
  })
  const workers = [challenges, worker]
  return {
    operations,
    workers,
    start: (): void => {
      for (const each of workers) each.start()
    },
    /** Ends the checks that are under way, and the workers. */
    stop: async (): Promise<void> => {
      ending.abort()
      await Promise.all(workers.map((each) => each.stop()))
    },
  }
}
export type Domains = ReturnType<typeof composeDomains>

function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address))
}
