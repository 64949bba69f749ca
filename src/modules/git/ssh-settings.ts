import type { RepositoryUrl } from '../../lib/repository-url.ts'
import { AGENT_SOCKET } from './ssh-agent.ts'

/** Files of a job's ssh folder. */
export const SSH_CONFIG = 'config'
export const KNOWN_HOSTS = 'known_hosts'
export const IDENTITY = 'identity.pub'

/**
 * What git runs to connect. git gives it to a shell, so it is this constant and nothing else: whatever varies is in the file that it names,
 * relative to the repository in which git runs.
 */
export const SSH_COMMAND = 'ssh -F ../ssh/config'

export interface SshSettings {
  url: RepositoryUrl
  /** Where the name of the host led when it was checked. */
  address: string
  has_key: boolean
  /** Whether the host is known; if not, whatever key it shows is taken and pinned. */
  is_pinned: boolean
}

/** The configuration of ssh for one host (ssh_config(5)). Everything that could bring in more is switched off. */
export function sshConfig({ url, address, has_key, is_pinned }: SshSettings): string {
  const options: [string, string][] = [
    // The address that was checked; the name stays the one under which the host is known.
    ['HostName', address],
    ['HostKeyAlias', knownHostsName(url)],
    ['CheckHostIP', 'no'],
    ['UserKnownHostsFile', `../ssh/${KNOWN_HOSTS}`],
    ['GlobalKnownHostsFile', '/dev/null'],
    ['KnownHostsCommand', 'none'],
    ['StrictHostKeyChecking', is_pinned ? 'yes' : 'accept-new'],
    ['UpdateHostKeys', 'no'],
    ['HashKnownHosts', 'no'],
    ['VerifyHostKeyDNS', 'no'],
    ['CanonicalizeHostname', 'no'],
    ['IdentityFile', has_key ? `../ssh/${IDENTITY}` : 'none'],
    ['IdentityAgent', has_key ? `../ssh/${AGENT_SOCKET}` : 'none'],
    ['IdentitiesOnly', 'yes'],
    ['PreferredAuthentications', 'publickey'],
    ['BatchMode', 'yes'],
    ['ForwardAgent', 'no'],
    ['ClearAllForwardings', 'yes'],
    ['ControlMaster', 'no'],
    ['ControlPath', 'none'],
    ['ProxyCommand', 'none'],
    ['ProxyJump', 'none'],
    ['PermitLocalCommand', 'no'],
    ['RequestTTY', 'no'],
    ['ConnectTimeout', '10'],
    ['ServerAliveInterval', '10'],
    ['ServerAliveCountMax', '3'],
  ]
  return ['Host *', ...options.map(([name, value]) => `  ${name} ${value}`), ''].join('\n')
}

/** The name under which a host stands in known_hosts: with its port, because each server has its own key. */
export function knownHostsName(url: RepositoryUrl): string {
  return url.port === 22 ? url.host : `[${url.host}]:${url.port}`
}

/** The line of known_hosts for a host. */
export function knownHostsLine(url: RepositoryUrl, key: { type: string; key: string }): string {
  return `${knownHostsName(url)} ${key.type} ${key.key}\n`
}

/** The keys that ssh has written into known_hosts. */
export function readKnownHosts(text: string): { type: string; key: string }[] {
  return text.split('\n').flatMap((line) => {
    const [, type, key] = line.split(' ')
    return type === undefined || key === undefined || line.startsWith('#') ? [] : [{ type, key: key.trim() }]
  })
}
