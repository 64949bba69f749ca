import { once } from 'node:events'
import { connect as connectTls } from 'node:tls'
import { test } from 'tap'
import type { Test } from 'tap'
import { createDrain } from '../../../src/ingress/worker/worker-drain.ts'
import { createSystem } from '../../../src/lib/system.ts'
import { makeCertificate } from '../../support/certificate.ts'
import {
  eventually,
  get,
  HOST,
  type ProxyOptions,
  RawClient,
  route,
  startProxy,
  startReplica,
} from './proxy-fixture.ts'

const certificate = makeCertificate(HOST)
const DRAIN_IDLE_MS = 100

/** A proxy that begins to drain while two connections to one of its ports have not sent a byte. */
async function drainEarly(
  t: Test,
  requestsMs: number,
  which: 'port' | 'tlsPort',
  options: ProxyOptions = {},
) {
  const system = createSystem()
  const replica = await startReplica(t, (_request, response) => response.end('fine'))
  const certificates = { [HOST]: await certificate }
  const running = await startProxy(t, { limits: { drain_idle_ms: DRAIN_IDLE_MS }, certificates, ...options })
  running.publish(route(HOST, replica))
  const clients = [await RawClient.open(t, running[which]), await RawClient.open(t, running[which])] as const
  await eventually(() => running.proxy.openConnections() === 2)
  let over = false
  const drain = createDrain(system, running.proxy, running.context.limits)
  const drained = drain({ requestsMs, upgradedMs: requestsMs }).then(() => (over = true))
  await system.sleep(2 * DRAIN_IDLE_MS)
  t.notOk(over, 'it waits')
  return { clients, drained, openConnections: running.proxy.openConnections }
}

test('a drain waits for handshakes that are under way, and for what is asked behind them', async (t) => {
  const { clients, drained } = await drainEarly(t, 10_000, 'tlsPort')
  const [{ socket }, gone] = clients
  gone.socket.destroy()
  const secure = connectTls({ socket, servername: HOST, ca: (await certificate).chain_pem })
  await once(secure, 'secureConnect')
  let text = ''
  secure.on('data', (piece: Buffer) => (text += piece.toString('latin1')))
  secure.write(get('/'))
  await once(secure, 'end')
  t.match(text, /^HTTP\/1\.1 200 .*fine$/s)
  await drained
})

test('a drain waits for PROXY headers too', async (t) => {
  const { clients, drained } = await drainEarly(t, 10_000, 'port', { proxyProtocolPeers: ['127.0.0.1'] })
  const [client, gone] = clients
  gone.socket.destroy()
  client.send(`PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n${get('/')}`)
  t.match(await client.rest(), /^HTTP\/1\.1 200 .*fine$/s)
  await drained
})

test('handshakes that do not end are cut off at the bound of the drain', async (t) => {
  const { clients, drained, openConnections } = await drainEarly(t, 400, 'tlsPort')
  await drained
  t.equal(openConnections(), 0)
  await Promise.all(clients.map((client) => client.rest()))
})
