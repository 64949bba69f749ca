import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { IngressLimits } from '../../../src/ingress/contract/limits.ts'
import { createSystem } from '../../../src/lib/system.ts'
import {
  createIngress,
  type Ingress,
  type IngressOptions,
} from '../../../src/modules/ingress/ingress-control.ts'
import { seedWorkerCode } from '../../support/worker-code.ts'
import { eventually } from './proxy-fixture.ts'

/** Shorter than in production, so that a test need not wait. */
export const TEST_LIMITS: Partial<IngressLimits> = { drain_idle_ms: 100, drain_ms: 5000, orphan_ms: 1000 }

/** A data directory of its own, as new as can be or as an earlier start would have left it. Workers that a test leaves behind end when it is gone. */
export async function makeDataDir(t: Test, { isNew = false } = {}): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-ingress-'))
  if (!isNew) await seedWorkerCode(directory)
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** A control side with real worker processes; not started. */
export function makeIngress(t: Test, dataDir: string, options: Partial<IngressOptions> = {}): Ingress {
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const { limits, ...others } = options
  const ingress = createIngress({
    system: createSystem(),
    log,
    dataDir,
    bindAddress: '127.0.0.1',
    httpPort: 0,
    httpsPort: 0,
    workers: 2,
    trustedProxies: [],
    limits: { ...TEST_LIMITS, ...limits },
    ...others,
  })
  t.teardown(() => ingress.stop({ keepWorkers: false }))
  return ingress
}

/** The same, started. */
export async function startIngress(
  t: Test,
  dataDir: string,
  options: Partial<IngressOptions> = {},
): Promise<Ingress> {
  const ingress = makeIngress(t, dataDir, options)
  await ingress.start()
  return ingress
}

export async function pidsOf(ingress: Ingress): Promise<number[]> {
  return (await ingress.status()).workers.map(({ pid }) => pid).toSorted((a, b) => a - b)
}

export async function portOf(ingress: Ingress): Promise<number> {
  return (await ingress.status()).http_port
}

/** True while a process runs (a zombie does not). */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    return !/^State:\s+Z/m.test(await readFile(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

export async function untilGone(pid: number): Promise<void> {
  await eventually(async () => !(await isAlive(pid)))
}
