import { createSystem } from '../../../src/lib/system.ts'
import { createIngress } from '../../../src/modules/ingress/ingress-control.ts'
import { TEST_LIMITS } from './ingress-fixture.ts'

/** A control plane of its own, for tests that kill it: `node control-process.ts <data dir> <replica port> <host>`. */
const [, , dataDir = '', replica = '', hostname = ''] = process.argv
const silent = { info: () => {}, warn: () => {}, error: () => {} }
const ingress = createIngress({
  system: createSystem(),
  log: silent,
  dataDir,
  bindAddress: '127.0.0.1',
  httpPort: 0,
  httpsPort: 0,
  workers: 2,
  trustedProxies: [],
  limits: TEST_LIMITS,
})
await ingress.start()
const upstream = {
  id: `replica-${replica}`,
  address: '127.0.0.1',
  port: Number(replica),
  deployment_id: 'deployment',
}
await ingress.publish([{ hostname, label: 'demo/app', service_id: 'service', upstreams: [upstream] }])
const { http_port: port, workers } = await ingress.status()
process.stdout.write(`${JSON.stringify({ port, pids: workers.map(({ pid }) => pid) })}\n`)
// Stays until it is killed.
process.stdin.resume()
