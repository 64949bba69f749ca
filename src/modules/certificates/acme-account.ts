import { generateKeyPair } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { System } from '../../lib/system.ts'
import { type AcmeServer, openAcmeServer } from './acme-server.ts'
import type { OrderStage } from './certificate-schema.ts'
import type { CertificateStore } from './certificate-store.ts'

export interface AcmeAccountDeps {
  store: CertificateStore
  system: System
  seal: (values: Record<string, string>) => Promise<string>
  open: (sealed: string) => Promise<Record<string, string>>
  email: string
  directories: Readonly<Record<OrderStage, string>>
  /** A file of further certificates that are trusted, for a private authority. */
  caFile: string | undefined
  /** The external account binding at the directory of `production`; no other is shown it. */
  external: { kid: string | undefined; hmacKey: string | undefined }
}

export interface AcmeAccounts {
  open(stage: OrderStage): Promise<AcmeServer>
  /** The server does not know the account any more: the next one who asks makes it anew, with the same key. */
  forget(stage: OrderStage): void
}

const makeKeyPair = promisify(generateKeyPair)

/**
 * Opens the account of this node at the directory of a stage, and makes it when there is none. The key is kept before the account is
 * made: a crash in between finds the same key, and the server the same account.
 */
export function createAcmeAccounts(deps: AcmeAccountDeps): AcmeAccounts {
  const { store, system } = deps
  const opened = new Map<string, Promise<AcmeServer>>()

  const ensureKey = async (directoryUrl: string) => {
    const present = store.findAccount(directoryUrl)
    if (present) return present
    const pair = await makeKeyPair('ec', {
      namedCurve: 'P-256',
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    })
    const key_sealed = await deps.seal({ key: pair.privateKey })
    store.insertAccount({
      directory_url: directoryUrl,
      key_sealed,
      account_url: null,
      created_at: system.nowIso(),
    })
    return store.findAccount(directoryUrl)
  }

  const open = async (directoryUrl: string): Promise<AcmeServer> => {
    const account = await ensureKey(directoryUrl)
    const { key = '' } = account ? await deps.open(account.key_sealed) : {}
    const { kid, hmacKey } = directoryUrl === deps.directories.production ? deps.external : {}
    const server = await openAcmeServer(
      {
        directory_url: directoryUrl,
        key_pem: key,
        account_url: account?.account_url ?? undefined,
        email: deps.email,
        external_binding: kid !== undefined && hmacKey !== undefined ? { kid, hmacKey } : undefined,
      },
      deps.caFile === undefined ? undefined : await readFile(deps.caFile, 'utf8'),
      system,
    )
    if (!account?.account_url) store.setAccountUrl(directoryUrl, await server.ensureAccount())
    return server
  }

  return {
    open: (stage) => {
      const directoryUrl = deps.directories[stage]
      const present = opened.get(directoryUrl)
      if (present) return present
      const opening = open(directoryUrl)
      opened.set(directoryUrl, opening)
      // The next one who asks tries again.
      opening.catch(() => opened.delete(directoryUrl))
      return opening
    },
    forget: (stage) => {
      const directoryUrl = deps.directories[stage]
      store.setAccountUrl(directoryUrl, null)
      opened.delete(directoryUrl)
    },
  }
}
