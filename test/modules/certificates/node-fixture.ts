import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { openApp } from '../../support/app.ts'
import { startDnsServer } from '../../support/dns-server.ts'
import { freePorts, startPebble } from '../../support/pebble.ts'
import { waitFor } from '../../support/wait.ts'

export const NAME = 'shop.example.com'

export interface NodeOptions {
  environment?: Record<string, string>
  /** Of the domain that is attached. */
  domain?: { self_signed?: boolean }
  /** Where the authority fetches its proofs; the ingress unless given. */
  proofPort?: number
  /** The authority answers only once the test starts it. */
  authorityAway?: boolean
}

/** A whole daemon whose ingress a real authority checks, with one service and one verified domain. */
export async function openNode(t: Test, options: NodeOptions = {}) {
  const dns = await startDnsServer(t)
  dns.zones.set(NAME, { a: ['127.0.0.1'] })
  const [httpPort = 0, httpsPort = 0] = await freePorts(2)
  const pebble = await startPebble(t, { httpPort: options.proofPort ?? httpPort, dnsServer: dns.address })
  if (options.authorityAway) await pebble.stop()
  const app = await openApp({
    environment: {
      BERTH_DNS_SERVERS: dns.address,
      BERTH_DOMAIN_CHECK_PORT: '0',
      BERTH_DOMAIN_INTERNAL_ADDRESSES: 'true',
      BERTH_HTTP_BIND: '127.0.0.1',
      BERTH_HTTP_PORT: String(httpPort),
      BERTH_HTTPS_PORT: String(httpsPort),
      BERTH_INGRESS_WORKERS: '2',
      BERTH_ACME_EMAIL: 'ops@example.com',
      BERTH_ACME_DIRECTORY_URL: pebble.directoryUrl,
      BERTH_ACME_CA_FILE: pebble.caFile,
      ...options.environment,
    },
  })
  t.teardown(() => app.close())
  const { api } = await app.app.start()
  const root = await app.bootstrap()
  const project = String((await app.must(root, 'POST', '/v1/projects', { name: 'shop' })).body['id'])
  const service = String(
    (await app.must(root, 'POST', '/v1/services', { name: 'web', project_id: project })).body['id'],
  )
  const domains = `/v1/services/${service}/domains`
  const { body } = await app.must(root, 'POST', domains, { hostname: NAME, ...options.domain })
  const domain = `${domains}/${String(body['id'])}`
  t.match((await app.must(root, 'POST', `${domain}/verify`)).body, { status: 'verified', reason: null })
  const certificates = async () => (await app.must(root, 'GET', '/v1/certificates')).list
  const active = (not?: unknown) =>
    waitFor('a certificate', async () => {
      const [found] = await certificates()
      return found?.['status'] === 'active' && found['serial'] !== not ? found : undefined
    })
  return { app, api, root, pebble, httpPort, httpsPort, project, service, domain, certificates, active }
}

/** Opens a TLS connection as a browser would, and keeps it. */
export async function openTls(port: number, ca: string, servername = NAME): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, servername, ca })
  await once(socket, 'secureConnect')
  return socket
}

/** The status line of an answer by it. */
export async function ask(socket: TLSSocket): Promise<string> {
  socket.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  const [data] = (await once(socket, 'data')) as [Buffer]
  return data.toString('latin1').split('\r\n')[0] ?? ''
}
