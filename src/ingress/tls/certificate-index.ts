import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext } from 'node:tls'
import { messageOf } from '../../lib/errors.ts'
import { type CertificateSet, NO_CERTIFICATES } from '../contract/certificate-table.ts'
import { type CertificatePair, certificatePath, openCertificate } from '../contract/certificate-file.ts'
import type { WorkerLog } from '../worker/worker-context.ts'

/** How the private keys of certificates are opened. */
export interface CertificateAccess {
  directory: string
  /** Undefined: this node has none, so that nothing can be opened. */
  key: Buffer | undefined
  log: WorkerLog
  /** Contexts that are kept ready, the least recently used going first. */
  maxContexts: number
}

/**
 * The certificates of one worker. A change replaces three maps of names; chain and key of a certificate are read and parsed when
 * the first client asks for it, and kept for the next ones.
 */
export class CertificateIndex {
  version = NO_CERTIFICATES.version
  private readonly access: CertificateAccess
  private exact = new Map<string, string>()
  /** By what follows the star. */
  private wildcards = new Map<string, string>()
  private fallback: string | undefined
  private readonly ready = new Map<string, SecureContext>()
  private readonly loading = new Map<string, Promise<SecureContext | undefined>>()

  constructor(access: CertificateAccess) {
    this.access = access
  }

  /** Takes a set that is newer than the present one; false when it is not. Open connections keep what they have. */
  replace(set: CertificateSet): boolean {
    if (set.version <= this.version) return false
    const exact = new Map<string, string>()
    const wildcards = new Map<string, string>()
    let fallback: string | undefined
    for (const { hostname, certificate_id } of set.certificates) {
      if (hostname === '*') fallback = certificate_id
      else if (hostname.startsWith('*')) wildcards.set(hostname.slice(1), certificate_id)
      else exact.set(hostname, certificate_id)
    }
    this.exact = exact
    this.wildcards = wildcards
    this.fallback = fallback
    this.version = set.version
    this.forgetUnused()
    return true
  }

  /** The certificate that answers to a name; an empty name is that of a client that names none. */
  find(hostname: string): string | undefined {
    const name = hostname.toLowerCase()
    const dot = name.indexOf('.')
    return (
      this.exact.get(name) ?? (dot > 0 ? this.wildcards.get(name.slice(dot)) : undefined) ?? this.fallback
    )
  }

  /** Its context if that is there already; no waiting, for the usual case. */
  contextAt(id: string): SecureContext | undefined {
    const context = this.ready.get(id)
    if (context === undefined) return undefined
    this.ready.delete(id)
    this.ready.set(id, context)
    return context
  }

  /** Reads and parses a certificate, once however many ask; undefined when it cannot be used. */
  async load(id: string): Promise<SecureContext | undefined> {
    const present = this.loading.get(id) ?? this.read(id).finally(() => this.loading.delete(id))
    this.loading.set(id, present)
    return await present
  }

  /** The pair itself; undefined when it cannot be opened. */
  async open(id: string): Promise<CertificatePair | undefined> {
    const { directory, key, log } = this.access
    try {
      if (key === undefined) throw new Error('this node has no key for certificates')
      return openCertificate(await readFile(certificatePath(directory, id)), key, id)
    } catch (error) {
      log('certificate_unusable', { certificate: id, error: messageOf(error) })
      return undefined
    }
  }

  private async read(id: string): Promise<SecureContext | undefined> {
    const { log, maxContexts } = this.access
    const pair = await this.open(id)
    if (pair === undefined) return undefined
    try {
      // Without `ca` Node would parse and keep the roots of the whole web, for clients that show no certificate.
      const context = createSecureContext({ cert: pair.chain_pem, key: pair.key_pem, ca: [] })
      this.ready.set(id, context)
      for (const oldest of this.ready.keys()) {
        if (this.ready.size <= maxContexts) break
        this.ready.delete(oldest)
      }
      return context
    } catch (error) {
      log('certificate_unusable', { certificate: id, error: messageOf(error) })
      return undefined
    }
  }

  private forgetUnused(): void {
    const used = new Set([...this.exact.values(), ...this.wildcards.values(), this.fallback])
    for (const id of this.ready.keys()) if (!used.has(id)) this.ready.delete(id)
  }
}
