import { DISCOVERY_CASES } from './discovery-cases.ts'
import { PULL_CASES } from './pull-cases.ts'
import { PUSH_CASES } from './push-cases.ts'
import type { RegistryCase } from './registry-case.ts'

/** The OCI distribution specification 1.1 and what Berth adds of its draft, a case for each sentence that asks for something. */
export const REGISTRY_CASES: readonly RegistryCase[] = [...PULL_CASES, ...PUSH_CASES, ...DISCOVERY_CASES]
