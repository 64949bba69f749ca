import { test } from 'tap'
import { pidOfSocket, socketName, WorkerExit } from '../../../src/ingress/contract/control-protocol.ts'
import { type ObservedWorker, planWorkers } from '../../../src/modules/ingress/worker-plan.ts'
import { startFailure } from '../../../src/modules/ingress/worker-process.ts'

function worker(
  pid: number,
  changes: Partial<ObservedWorker['status']> & { retiring?: boolean } = {},
): ObservedWorker {
  const { retiring = false, ...status } = changes
  return {
    pid,
    retiring,
    status: { fingerprint: 'now', listening: true, draining: false, uptime_seconds: pid, ...status },
  }
}

const TABLE: [name: string, observed: ObservedWorker[], start: number, retire: number[]][] = [
  ['nothing runs: both are started', [], 2, []],
  ['one is missing: it is started', [worker(1)], 1, []],
  ['all is well', [worker(1), worker(2)], 0, []],
  ['the youngest surplus one goes', [worker(1), worker(2), worker(3)], 0, [1]],
  [
    'outdated ones stay until the new ones listen',
    [worker(1, { fingerprint: 'old' }), worker(2, { fingerprint: 'old' })],
    2,
    [],
  ],
  [
    'one that is starting is waited for, and nobody leaves meanwhile',
    [worker(1, { fingerprint: 'old' }), worker(2), worker(3, { listening: false })],
    0,
    [],
  ],
  ['outdated ones leave then', [worker(1, { fingerprint: 'old' }), worker(2), worker(3)], 0, [1]],
  ['one that is ending does not count', [worker(1, { draining: true }), worker(2)], 1, []],
  [
    'one that was told to end does not count and is not told again',
    [worker(1, { retiring: true }), worker(2)],
    1,
    [],
  ],
  [
    'an outdated one that is ending is left alone',
    [worker(1, { fingerprint: 'old', draining: true }), worker(2), worker(3)],
    0,
    [],
  ],
]

for (const [name, observed, start, retire] of TABLE) {
  test(`with two workers wanted: ${name}`, async (t) => {
    t.same(planWorkers(2, 'now', observed), { start, retire })
  })
}

test('only the names of workers’ sockets give a pid', async (t) => {
  t.equal(pidOfSocket(socketName(4194304)), 4_194_304)
  for (const name of [
    'worker-.sock',
    'worker-0.sock',
    'worker-1.sock.tmp',
    'worker-x.sock',
    'routes.json',
    'worker-01.sock',
  ]) {
    t.equal(pidOfSocket(name), undefined, name)
  }
})

test('a port that the user may not use is named, with the setting to change', async (t) => {
  const settings = { bind_address: '0.0.0.0', port: 80, https_port: 443 }
  const message = (code: number): string => startFailure(settings, code).message
  t.match(
    message(WorkerExit.portForbidden),
    /Port 80 on 0\.0\.0\.0 may not be used.*BERTH_HTTP_PORT above 1023/,
  )
  t.match(message(WorkerExit.portInUse), /Port 80 on 0\.0\.0\.0 is in use.*BERTH_HTTP_PORT/)
  t.match(message(WorkerExit.tlsPortForbidden), /Port 443 .* may not be used.*BERTH_HTTPS_PORT above 1023/)
  t.match(message(WorkerExit.tlsPortInUse), /Port 443 .* is in use.*BERTH_HTTPS_PORT/)
  t.match(message(1), /ended with status 1/)
})
