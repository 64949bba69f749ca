import { isIP } from 'node:net'

/** Where a repository is, checked and normalised. */
export interface RepositoryUrl {
  readonly protocol: 'https' | 'http' | 'ssh'
  /** Lower-case name, or address without brackets. */
  readonly host: string
  readonly port: number
  /** Who logs in over ssh; empty for the others, whose credentials never stand in a URL. */
  readonly user: string
  /** As the server gets it: absolute, but for the form `user@host:path`, which begins in the home of the user. */
  readonly path: string
  /** What git is given. */
  readonly text: string
}

/** Why a text is no URL of a repository; the message says what to write instead. */
export class BadRepositoryUrl extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'BadRepositoryUrl'
  }
}

const DEFAULT_PORTS = { https: 443, http: 80, ssh: 22 } as const
const MAX_LENGTH = 2048
const SCP_LIKE = /^([^@/:]+)@([^@/:[\]]+):(?!\/\/)(.+)$/s
const USER = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/

/**
 * Reads `https://host/path`, `ssh://user@host/path` and `user@host:path`. Throws BadRepositoryUrl for everything else: other protocols run
 * programs (`ext::`) or read files of this machine, and a URL with a password would be shown wherever the service is.
 */
export function readRepositoryUrl(text: string, allowHttp: boolean): RepositoryUrl {
  if (text.length === 0 || text.length > MAX_LENGTH)
    throw new BadRepositoryUrl(`must have 1 to ${MAX_LENGTH} characters`)
  // What stands where an option could, or steers a terminal, is no URL that anyone means.
  if (text.startsWith('-') || /[\s\p{Cc}\\]/u.test(text) || !text.isWellFormed())
    throw new BadRepositoryUrl(
      'must not begin with a hyphen nor hold spaces, backslashes or control characters',
    )
  const scp = text.includes('://') ? null : SCP_LIKE.exec(text)
  if (scp) return readScpLike(scp[1] ?? '', scp[2] ?? '', scp[3] ?? '')
  return readFullUrl(text, allowHttp)
}

/** The name under which the host of a repository is known: with its port unless that is the protocol's own. */
export function hostLabel({
  protocol,
  host,
  port,
}: Pick<RepositoryUrl, 'protocol' | 'host' | 'port'>): string {
  const name = isIP(host) === 6 ? `[${host}]` : host
  return port === DEFAULT_PORTS[protocol] ? name : `${name}:${port}`
}

/** The path without what does not tell repositories apart: slashes around it and `.git`. */
export function repositoryName({ path }: Pick<RepositoryUrl, 'path'>): string {
  return path
    .replace(/^\/+/, '')
    .replace(/\/+$/, '')
    .replace(/\.git$/, '')
}

/** The URL of a submodule: a relative one starts from that of the repository that names it (gitmodules(5)). Throws BadRepositoryUrl. */
export function readSubmoduleUrl(text: string, parent: RepositoryUrl, allowHttp: boolean): RepositoryUrl {
  if (!/^\.\.?(\/|$)/.test(text)) return readRepositoryUrl(text, allowHttp)
  const names = parent.path.replace(/\/+$/, '').split('/')
  for (const name of text.split('/')) {
    if (name === '' || name === '.') continue
    if (name !== '..') names.push(name)
    else if (names.pop() === undefined || names.length === 0)
      throw new BadRepositoryUrl('leads above the root of the server')
  }
  const head = parent.text.slice(0, parent.text.length - parent.path.length)
  return readRepositoryUrl(`${head}${names.join('/')}`, allowHttp)
}

function readScpLike(user: string, rawHost: string, path: string): RepositoryUrl {
  const host = readHost(rawHost)
  if (!USER.test(user))
    throw new BadRepositoryUrl('must name a user of letters, digits, dots and hyphens before @')
  if (path.startsWith('-')) throw new BadRepositoryUrl('must not have a path that begins with a hyphen')
  return { protocol: 'ssh', host, port: DEFAULT_PORTS.ssh, user, path, text: `${user}@${host}:${path}` }
}

function readFullUrl(text: string, allowHttp: boolean): RepositoryUrl {
  const protocol = /^(https|http|ssh):\/\//i.exec(text)?.[1]?.toLowerCase() as
    | RepositoryUrl['protocol']
    | undefined
  if (protocol === undefined || !URL.canParse(text))
    throw new BadRepositoryUrl('must look like https://host/path, ssh://user@host/path or user@host:path')
  if (protocol === 'http' && !allowHttp)
    throw new BadRepositoryUrl('must use https or ssh: http lets everyone on the way change the source')
  const url = new URL(text)
  if (url.search !== '' || url.hash !== '' || /[?#]/.test(text))
    throw new BadRepositoryUrl('must not have a query or a fragment')
  if (url.password !== '' || (protocol !== 'ssh' && url.username !== ''))
    throw new BadRepositoryUrl("must not hold credentials: they belong into the project's Git credentials")
  const path = url.pathname
  if (path.replaceAll('/', '') === '') throw new BadRepositoryUrl('must have a path')
  const host = readHost(url.hostname)
  const port = url.port === '' ? DEFAULT_PORTS[protocol] : Number(url.port)
  if (port === 0) throw new BadRepositoryUrl('must not have port 0')
  const user = protocol === 'ssh' ? url.username || 'git' : ''
  if (user !== '' && !USER.test(user))
    throw new BadRepositoryUrl('must name a user of letters, digits, dots and hyphens before @')
  const label = hostLabel({ protocol, host, port })
  return {
    protocol,
    host,
    port,
    user,
    path,
    text: `${protocol}://${user === '' ? '' : `${user}@`}${label}${path}`,
  }
}

function readHost(raw: string): string {
  const host = raw
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase()
  if (isIP(host) === 0 && !HOST_NAME.test(host)) throw new BadRepositoryUrl('must name a host that can exist')
  return host
}
