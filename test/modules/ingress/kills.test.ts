import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import type { Test } from 'tap'
import { type LoadReport, startLoad } from '../../support/load.ts'
import { makeDataDir, pidsOf, portOf, startIngress } from './ingress-fixture.ts'
import { eventually, HOST, route } from './proxy-fixture.ts'

const CONNECTIONS = 16
const LOAD = { connections: CONNECTIONS, perSecond: 300 }
/** What must have been answered behind a kill before the load ends. */
const AFTERWARDS = 150

async function startReplicaProcess(t: Test): Promise<{ child: ChildProcess; port: number }> {
  const program = fileURLToPath(new URL('replica-process.ts', import.meta.url))
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'], env: {} })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, port: Number(line.toString()) }
}

function show(t: Test, what: string, report: LoadReport): void {
  const kinds = Object.entries(Object.groupBy(report.failures, (each) => each)).map(
    ([kind, each]) => `${each?.length} x ${kind}`,
  )
  t.comment(
    `${what}: ${report.sent} requests, ${report.failed} failed${kinds.length > 0 ? `: ${kinds.join('; ')}` : ''}`,
  )
}

test('kill -9 of a replica under load fails no request that may be repeated', async (t) => {
  const ingress = await startIngress(t, await makeDataDir(t), { workers: 1 })
  const [one, other] = [await startReplicaProcess(t), await startReplicaProcess(t)]
  await ingress.publish([route(HOST, one.port, other.port)])
  const load = startLoad(await portOf(ingress), HOST, LOAD)
  await answered(ingress, AFTERWARDS)
  one.child.kill('SIGKILL')
  await answered(ingress, AFTERWARDS)
  const report = await load.stop()
  show(t, 'a replica killed', report)
  t.same(report.failures, [])
  t.ok(report.sent >= 2 * AFTERWARDS)
})

test('kill -9 of the control plane under load fails no request', async (t) => {
  const dataDir = await makeDataDir(t)
  const replica = await startReplicaProcess(t)
  const program = fileURLToPath(new URL('control-process.ts', import.meta.url))
  const control = spawn(process.execPath, [program, dataDir, String(replica.port), HOST], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {},
  })
  t.teardown(() => control.kill('SIGKILL'))
  const [line] = (await once(control.stdout, 'data')) as [Buffer]
  const { port } = JSON.parse(line.toString()) as { port: number }
  const load = startLoad(port, HOST, LOAD)
  control.kill('SIGKILL')
  await once(control, 'exit')
  const next = await startIngress(t, dataDir)
  await answered(next, AFTERWARDS)
  const report = await load.stop()
  show(t, 'the control plane killed and started again', report)
  t.same(report.failures, [])
})

test('kill -9 of a worker under load costs what ran through it, and nothing afterwards', async (t) => {
  const ingress = await startIngress(t, await makeDataDir(t))
  const replica = await startReplicaProcess(t)
  await ingress.publish([route(HOST, replica.port)])
  const load = startLoad(await portOf(ingress), HOST, LOAD)
  await answered(ingress, AFTERWARDS)
  const [victim = 0] = await pidsOf(ingress)
  process.kill(victim, 'SIGKILL')
  await eventually(async () => {
    const { ready_workers: ready, workers } = await ingress.status()
    return ready === 2 && !workers.some(({ pid }) => pid === victim)
  })
  await answered(ingress, AFTERWARDS)
  const report = await load.stop()
  show(t, 'one of two workers killed', report)
  // A request may be under way on each connection, and an idle one may be chosen before its end is known.
  t.ok(report.failed <= 2 * CONNECTIONS, `${report.failed} of ${report.sent} failed`)
  t.ok((report.answers['ok'] ?? 0) >= 2 * AFTERWARDS)
})

/** Waits until the workers have taken so many more requests. */
async function answered(ingress: Awaited<ReturnType<typeof startIngress>>, count: number): Promise<void> {
  const total = async (): Promise<number> =>
    (await ingress.status()).workers.reduce((sum, { requests }) => sum + requests, 0)
  const before = await total()
  await eventually(async () => (await total()) >= before + count)
}
