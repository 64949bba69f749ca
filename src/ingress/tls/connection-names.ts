import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

/** A client asks for few names by one connection. */
const MOST_REMEMBERED = 16

/**
 * Which hostnames the requests of one encrypted connection may be for: the one that the handshake named, and those that the certificate it was
 * answered with covers, for which browsers use a connection that they have (RFC 9113, section 9.1.1).
 */
export class ConnectionNames {
  private readonly socket: TLSSocket
  private certificate: X509Certificate | undefined
  private readonly known = new Map<string, boolean>()

  constructor(socket: TLSSocket) {
    this.socket = socket
  }

  /** `hostname` is in lower case, without a port. A client that named nothing in its handshake may ask for everything. */
  covers(hostname: string): boolean {
    const { servername } = this.socket as { servername?: string | false | null }
    if (!servername || servername.toLowerCase() === hostname) return true
    let covered = this.known.get(hostname)
    if (covered === undefined) {
      this.certificate ??= this.socket.getX509Certificate()
      covered = this.certificate?.checkHost(hostname, { subject: 'never' }) !== undefined
      if (this.known.size < MOST_REMEMBERED) this.known.set(hostname, covered)
    }
    return covered
  }
}
