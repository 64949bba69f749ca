import {
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls'
import type { CertificateIndex } from './certificate-index.ts'
import type { PendingConnections } from '../connections/pending-connections.ts'
import { useTicketKeys } from './ticket-sealer.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** Who speaks on a connection once it is encrypted. */
export interface TlsProtocols {
  http1(socket: TLSSocket): void
  http2(socket: TLSSocket): void
}

/** The TLS side of a worker. */
export interface TlsFront {
  readonly server: Server
  /** What session tickets are sealed with from now on, the first, and which others are still good. */
  useTicketKeys(keys: readonly Buffer[]): void
  /** Looks again at the certificate for clients that name no host. */
  certificatesChanged(): Promise<void>
}

/** Any text will do that all workers have in common: Node's own would hang on the command line. */
const SESSION_CONTEXT = 'berth'

/**
 * Builds the TLS server. A name without a certificate gets no default one: the handshake ends with an alert, so that nobody is shown
 * the certificate of another project.
 */
export function createTlsFront(
  context: WorkerContext,
  certificates: CertificateIndex,
  pending: PendingConnections,
  protocols: TlsProtocols,
): TlsFront {
  const { limits, counters } = context
  const shared: SecureContextOptions = {
    minVersion: 'TLSv1.2',
    honorCipherOrder: true,
    sessionIdContext: SESSION_CONTEXT,
    // See CertificateIndex: no roots, for clients that show no certificate.
    ca: [],
  }
  let ticketKeys: readonly Buffer[] = []
  let fallback: string | undefined
  const server = createServer({
    ...shared,
    // 1.0 for clients that offer nothing else.
    ALPNProtocols: ['h2', 'http/1.1', 'http/1.0'],
    SNICallback: (name, done) => chooseContext(certificates, name, done),
    handshakeTimeout: limits.request_head_ms,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  })
  server.maxConnections = limits.client_connections
  server.on('connection', (socket) => pending.add(socket))
  server.on('secureConnection', (socket) => {
    pending.served(socket)
    counters.handshakes += 1
    if (socket.isSessionReused()) counters.resumed += 1
    if (socket.alpnProtocol === 'h2') protocols.http2(socket)
    else {
      // As without TLS: a tunnel hands on that its client has sent its last.
      socket.allowHalfOpen = true
      protocols.http1(socket)
    }
  })
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  server.on('drop', () => context.log('connection_dropped', { tls: 1 }))

  return {
    server,
    useTicketKeys: (keys) => {
      ticketKeys = keys
      useTicketKeys(server, keys, context.system.randomBytes)
    },
    certificatesChanged: async () => {
      const id = certificates.find('')
      if (id === fallback) return
      fallback = id
      const pair = id === undefined ? undefined : await certificates.open(id)
      // Another change may have overtaken this one.
      if (fallback !== id) return
      const own = pair === undefined ? {} : { cert: pair.chain_pem, key: pair.key_pem }
      server.setSecureContext({ ...shared, ...own })
      // They went with the context before.
      useTicketKeys(server, ticketKeys, context.system.randomBytes)
    },
  }
}

function chooseContext(
  certificates: CertificateIndex,
  name: string,
  done: (error: Error | null, context?: SecureContext) => void,
): void {
  const id = certificates.find(name)
  const ready = id === undefined ? undefined : certificates.contextAt(id)
  if (id === undefined || ready !== undefined) done(null, ready)
  else void loadContext(certificates, id, done)
}

async function loadContext(
  certificates: CertificateIndex,
  id: string,
  done: (error: Error | null, context?: SecureContext) => void,
): Promise<void> {
  done(null, await certificates.load(id))
}
