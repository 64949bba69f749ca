import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../lib/errors.ts'
import { readKeyFile } from '../../lib/key-file.ts'
import type { CertificateIndex } from '../tls/certificate-index.ts'
import { parseCertificateSet } from '../contract/certificate-table.ts'
import { parseChallengeSet } from '../contract/challenge-table.ts'
import {
  CERTIFICATES_FILE,
  CHALLENGES_FILE,
  ROUTES_FILE,
  TICKETS_FILE,
} from '../contract/control-protocol.ts'
import type { Proxy } from './proxy.ts'
import { parseRouteTable } from '../contract/route-table.ts'
import { openTicketKeys } from '../contract/ticket-key.ts'
import type { WorkerContext } from './worker-context.ts'
import type { WorkerSettings } from './worker-settings.ts'

/** One worker's parts. */
export interface Worker {
  context: WorkerContext
  certificates: CertificateIndex
  proxy: Proxy
  settings: WorkerSettings
  /** Opens certificates and the key for session tickets. */
  key: Buffer | undefined
}

/** What was written last, so that serving needs nothing but these files. */
export async function loadSets(worker: Worker): Promise<void> {
  const { directory } = worker.settings
  for (const [file, take] of SETS) {
    try {
      if (!take(worker, JSON.parse(await readFile(join(directory, file), 'utf8'))))
        throw new Error('The file holds no set of its kind.')
    } catch (error) {
      worker.context.log('set_unreadable', { file, error: messageOf(error) })
    }
  }
  await loadTicketKeys(worker)
}

type Take = (worker: Worker, value: unknown) => boolean

export const takeRoutes: Take = ({ context }, value) => {
  const table = parseRouteTable(value)
  if (table !== undefined) context.routes.replace(table)
  return table !== undefined
}

export const takeCertificates: Take = ({ context, certificates, proxy }, value) => {
  const set = parseCertificateSet(value)
  if (set !== undefined && certificates.replace(set)) proxy.tls.certificatesChanged().catch(context.caught)
  return set !== undefined
}

export const takeChallenges: Take = ({ context }, value) => {
  const set = parseChallengeSet(value)
  if (set !== undefined) context.challenges.replace(set)
  return set !== undefined
}

const SETS: readonly [file: string, take: Take][] = [
  [ROUTES_FILE, takeRoutes],
  [CERTIFICATES_FILE, takeCertificates],
  [CHALLENGES_FILE, takeChallenges],
]

/** Without its key a worker serves everything but TLS. */
export async function readKey(context: WorkerContext, file: string): Promise<Buffer | undefined> {
  try {
    return await readKeyFile(file)
  } catch (error) {
    context.log('key_unreadable', { error: messageOf(error) })
    return undefined
  }
}

export async function loadTicketKeys({ context, proxy, settings, key }: Worker): Promise<void> {
  try {
    if (key === undefined) return
    const sealed = await readFile(join(settings.directory, TICKETS_FILE))
    proxy.tls.useTicketKeys(openTicketKeys(sealed, key))
  } catch (error) {
    context.log('ticket_key_unreadable', { error: messageOf(error) })
  }
}
