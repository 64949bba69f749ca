import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type AddressRule, AddressRefused } from '../../lib/address-rule.ts'
import type { System } from '../../lib/system.ts'
import { gitEnvironment } from './git-environment.ts'
import { type FailureFacts, gitFailed } from './git-failure.ts'
import { hostLabel, type RepositoryUrl } from '../../lib/repository-url.ts'
import { type KeyAgent, openAgent } from './ssh-agent.ts'
import { fingerprintOf } from './ssh-key.ts'
import {
  IDENTITY,
  KNOWN_HOSTS,
  knownHostsLine,
  readKnownHosts,
  SSH_COMMAND,
  SSH_CONFIG,
  sshConfig,
} from './ssh-settings.ts'

/** A credential of a project, opened. */
export type OpenedCredential =
  | { kind: 'ssh_key'; name: string; private_key: string }
  | { kind: 'https_token'; name: string; username: string; token: string }

export interface HostKey {
  type: string
  /** Base64. */
  key: string
}

/** What a project knows of the hosts that it fetches from. */
export interface ProjectTrust {
  /** The project's credential for this very repository; undefined when it has none. */
  credentialFor(projectId: string, url: RepositoryUrl): Promise<OpenedCredential | undefined>
  /** The pinned key of a host, as `hostLabel` names it. */
  findHostKey(projectId: string, host: string): HostKey | undefined
  /** Pins a key unless one is pinned already; answers the one that is pinned now. */
  pinHostKey(projectId: string, host: string, key: HostKey): HostKey
}

export interface RemoteDeps {
  system: System
  trust: ProjectTrust
  addresses: AddressRule
  settings: {
    git_allow_http: boolean
    /** Certificates of further authorities. */
    git_ca_file: string | undefined
    git_stall_seconds: number
  }
}

/** A repository that git may talk to, until it is closed. */
export interface Remote {
  url: RepositoryUrl
  /** Where git runs: an empty folder for a bare repository. */
  folder: string
  env: Readonly<Record<string, string>>
  facts: FailureFacts
  /** To be called after the first connection, whatever came of it: pins the key that the host showed. */
  settle(): Promise<void>
  close(): void
}

export interface RemoteRequest {
  project_id: string
  url: RepositoryUrl
  /** A new folder of this remote. */
  directory: string
  log: (line: string) => void
  signal: AbortSignal
}

/** Checks where the host's name leads, opens the project's credential for the repository and makes git's environment of them. */
export async function openRemote(deps: RemoteDeps, request: RemoteRequest): Promise<Remote> {
  const { url, directory } = request
  const folder = join(directory, 'repository.git')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const addresses = await checkAddresses(deps.addresses, url, request.signal)
  const credential = await deps.trust.credentialFor(request.project_id, url)
  request.log(
    credential === undefined
      ? `The project has no credential for ${hostLabel(url)}.`
      : `Using the project's ${credential.kind === 'ssh_key' ? 'key' : 'token'} ${credential.name}.`,
  )
  const facts = { url, has_credential: credential !== undefined, pinned: undefined }
  const base = { url, folder, facts, settle: async () => {}, close: () => {} }
  const common = { home: directory, allowHttp: deps.settings.git_allow_http }
  if (url.protocol !== 'ssh') {
    const config = httpConfig(deps.settings, url, addresses, credential)
    return { ...base, env: gitEnvironment({ ...common, config }) }
  }
  const key = credential?.kind === 'ssh_key' ? credential.private_key : undefined
  const ssh = await openSsh(deps, request, addresses, key)
  return { ...base, ...ssh, env: gitEnvironment({ ...common, sshCommand: SSH_COMMAND }) }
}

async function checkAddresses(rule: AddressRule, url: RepositoryUrl, signal: AbortSignal): Promise<string[]> {
  try {
    return await rule.resolve(url.host, signal)
  } catch (error) {
    if (!(error instanceof AddressRefused)) throw error
    const hint = error.message.includes('private') ? ' The setting git_private_ranges can allow it.' : ''
    throw gitFailed(`${error.message}.${hint}`, error)
  }
}

/** Settings of git for one https host. The token is for this host alone: git sends it nowhere else, whatever it is told on the way. */
function httpConfig(
  settings: RemoteDeps['settings'],
  url: RepositoryUrl,
  addresses: readonly string[],
  credential: OpenedCredential | undefined,
): [string, string][] {
  const shown = addresses.map((address) => (address.includes(':') ? `[${address}]` : address))
  const origin = `${url.protocol}://${hostLabel(url)}/`
  const config: [string, string][] = [
    ['http.curloptResolve', `${url.host}:${url.port}:${shown.join(',')}`],
    ['http.lowSpeedLimit', '1000'],
    ['http.lowSpeedTime', String(settings.git_stall_seconds)],
  ]
  if (settings.git_ca_file !== undefined)
    // Beside the authorities of the system, which the file would replace otherwise.
    config.push(['http.sslCAInfo', settings.git_ca_file], ['http.sslCAPath', '/etc/ssl/certs'])
  if (credential?.kind === 'https_token') {
    const basic = Buffer.from(`${credential.username}:${credential.token}`).toString('base64')
    config.push([`http.${origin}.extraHeader`, `Authorization: Basic ${basic}`])
  }
  return config
}

async function openSsh(
  deps: RemoteDeps,
  request: RemoteRequest,
  addresses: readonly string[],
  privateKey: string | undefined,
): Promise<Pick<Remote, 'facts' | 'settle' | 'close'>> {
  const { url, signal } = request
  const host = hostLabel(url)
  const folder = join(request.directory, 'ssh')
  await mkdir(folder, { mode: 0o700 })
  const pinned = deps.trust.findHostKey(request.project_id, host)
  const settings = {
    url,
    address: addresses[0] ?? url.host,
    has_key: privateKey !== undefined,
    is_pinned: pinned !== undefined,
  }
  await writeFile(join(folder, SSH_CONFIG), sshConfig(settings))
  const knownHosts = join(folder, KNOWN_HOSTS)
  await writeFile(knownHosts, pinned ? knownHostsLine(url, pinned) : '')
  const agent = privateKey === undefined ? undefined : await openIdentity(deps, folder, privateKey, signal)
  const settle = async (): Promise<void> => {
    if (pinned) return
    const [shown] = readKnownHosts(await readFile(knownHosts, 'utf8'))
    if (!shown) return
    const kept = deps.trust.pinHostKey(request.project_id, host, shown)
    if (kept.key !== shown.key)
      throw gitFailed(
        `The host key of ${host} is ${fingerprintOf(shown.key)}, but ${fingerprintOf(kept.key)} was pinned meanwhile.`,
      )
    request.log(`First use of ${host}: pinned its host key ${shown.type} ${fingerprintOf(shown.key)}.`)
    // From now on only this one is taken, also within this job.
    await writeFile(join(folder, SSH_CONFIG), sshConfig({ ...settings, is_pinned: true }))
  }
  if (pinned) request.log(`The pinned host key of ${host} is ${pinned.type} ${fingerprintOf(pinned.key)}.`)
  return {
    facts: {
      url,
      has_credential: privateKey !== undefined,
      pinned: pinned && fingerprintOf(pinned.key),
    },
    settle,
    close: () => agent?.close(),
  }
}

async function openIdentity(
  deps: RemoteDeps,
  folder: string,
  privateKey: string,
  signal: AbortSignal,
): Promise<KeyAgent> {
  const agent = await openAgent(deps.system, folder, privateKey, signal)
  await writeFile(join(folder, IDENTITY), `${agent.public_key}\n`)
  return agent
}
