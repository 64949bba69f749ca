import { AppError, type ErrorDetail } from '../../lib/errors.ts'
import { BadRepositoryUrl, hostLabel, readRepositoryUrl, repositoryName } from '../../lib/repository-url.ts'
import type { System } from '../../lib/system.ts'
import type { CredentialKind, GitCredentialCreate } from './git-credential-schema.ts'
import { BadSshKey, publicKeyOf } from './ssh-agent.ts'
import { generateSshKey } from './ssh-key.ts'

/** A credential as it was sent or made here, not yet sealed. */
export interface NewCredential {
  kind: CredentialKind
  name: string
  host: string | null
  path: string | null
  username: string | null
  public_key: string | null
  secret: string
}

const DEFAULT_USERNAME = 'x-access-token'
const KEY_TIMEOUT_MS = 20_000

/** Which fields a kind has, and which of them it needs. */
const FIELDS = {
  https_token: { needs: ['host', 'token'], has: ['username'] },
  ssh_key: { needs: ['private_key'], has: ['host'] },
  generated: { needs: [], has: ['host'] },
} as const satisfies Record<
  string,
  { needs: (keyof GitCredentialCreate)[]; has: (keyof GitCredentialCreate)[] }
>

/** Reads what was sent and makes what is to be made. Throws VALIDATION_ERROR, which names the fields and never their values. */
export async function readCredential(system: System, sent: GitCredentialCreate): Promise<NewCredential> {
  const form = formOf(sent)
  refuseFields(sent, form)
  const place = readPlace(sent, form)
  if (form === 'https_token') {
    return {
      kind: 'https_token',
      name: sent.name ?? `token for ${place.host}`,
      ...place,
      username: sent.username ?? DEFAULT_USERNAME,
      public_key: null,
      secret: sent.token ?? '',
    }
  }
  const secret = form === 'generated' ? generateSshKey(system, 'berth') : (sent.private_key ?? '')
  const name = sent.name ?? `key for ${place.host ?? 'every host'}`
  return {
    kind: 'ssh_key',
    name,
    ...place,
    username: null,
    public_key: await readPublicHalf(system, secret),
    secret,
  }
}

function formOf(sent: GitCredentialCreate): keyof typeof FIELDS {
  if (sent.generate === true) {
    if (sent.kind === 'https_token')
      throw invalid([{ field: 'generate', message: 'makes keys; a token comes from its host' }])
    return 'generated'
  }
  if (sent.kind === undefined)
    throw invalid([{ field: 'kind', message: 'is required unless generate is true' }])
  return sent.kind
}

function refuseFields(sent: GitCredentialCreate, form: keyof typeof FIELDS): void {
  const { needs, has }: { needs: readonly string[]; has: readonly string[] } = FIELDS[form]
  const known = new Set<string>(['kind', 'generate', 'name', 'path', ...needs, ...has])
  const problems = [
    ...needs.filter((field) => !(field in sent)).map((field) => ({ field, message: 'is required' })),
    ...Object.keys(sent)
      .filter((field) => !known.has(field))
      .map((field) => ({
        field,
        message: `does not belong to a credential of kind ${sent.kind ?? 'ssh_key'}`,
      })),
    ...('path' in sent && !('host' in sent) ? [{ field: 'path', message: 'needs a host' }] : []),
  ]
  if (problems.length > 0) throw invalid(problems)
}

/** The host and the path in the form in which URLs of repositories are compared with them. */
function readPlace(
  { host, path }: GitCredentialCreate,
  form: keyof typeof FIELDS,
): { host: string | null; path: string | null } {
  if (host === undefined) return { host: null, path: null }
  const protocol = form === 'https_token' ? 'https' : 'ssh'
  if (/[/@]/.test(host))
    throw invalid([{ field: 'host', message: 'must be a host alone, such as git.example.com:2222' }])
  try {
    const url = readRepositoryUrl(`${protocol}://${host}/${path ?? 'any'}`, false)
    return { host: hostLabel(url), path: path === undefined ? null : repositoryName(url) }
  } catch (error) {
    if (!(error instanceof BadRepositoryUrl)) throw error
    throw invalid([{ field: path === undefined ? 'host' : 'path', message: error.message }])
  }
}

async function readPublicHalf(system: System, privateKey: string): Promise<string> {
  const overdue = new AbortController()
  const cancelTimer = system.later(KEY_TIMEOUT_MS, () => overdue.abort(new AppError('BUSY')))
  try {
    return await publicKeyOf(system, privateKey, overdue.signal)
  } catch (error) {
    if (!(error instanceof BadSshKey)) throw error
    throw invalid([{ field: 'private_key', message: error.message }])
  } finally {
    cancelTimer()
  }
}

function invalid(details: ErrorDetail[]): AppError {
  return new AppError('VALIDATION_ERROR', { details })
}
