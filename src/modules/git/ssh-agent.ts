import { lstat, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { type ChildLimits, killGroup, runChild, startChild } from './child-process.ts'
import { sshEnvironment } from './git-environment.ts'

/** A key that ssh can use but neither read nor leave behind: it is only ever in the memory of an agent. */
export interface KeyAgent {
  /** The key's public half, as a line of a public key file. */
  public_key: string
  close(): void
}

/** Why a private key cannot be used, for people. */
export class BadSshKey extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'BadSshKey'
  }
}

/** Name of the socket in the agent's folder; relative, because the path of a socket may have only 107 bytes. */
export const AGENT_SOCKET = 'agent.sock'

const LIMITS: ChildLimits = { memory_bytes: 1024 ** 3, file_bytes: 1024 ** 2 }
const LOOK_MS = 5
const START_MS = 10_000

/** Starts an ssh-agent in a folder of its own and gives it the key. Throws BadSshKey when it does not take it. */
export async function openAgent(
  system: System,
  folder: string,
  privateKey: string,
  signal: AbortSignal,
): Promise<KeyAgent> {
  const env = sshEnvironment(folder)
  const agent = startChild({
    program: 'ssh-agent',
    args: ['-D', '-a', AGENT_SOCKET],
    cwd: folder,
    env,
    limits: LIMITS,
  })
  // Neither a failed start nor what it says goes unread: both show as a socket that never appears.
  const failed = new AbortController()
  agent.once('error', (error) => failed.abort(error))
  agent.stdout?.resume()
  agent.stderr?.resume()
  agent.unref()
  try {
    await appears(system, `${folder}/${AGENT_SOCKET}`, AbortSignal.any([signal, failed.signal]))
    await add(folder, privateKey, signal)
    return { public_key: await list(folder, signal), close: () => killGroup(agent) }
  } catch (error) {
    killGroup(agent)
    throw error
  }
}

/**
 * The public half of a private key, as OpenSSH reads it. Throws BadSshKey. Only the socket of the agent that is asked lies on
 * the disk.
 */
export async function publicKeyOf(system: System, privateKey: string, signal: AbortSignal): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-agent-'))
  try {
    const agent = await openAgent(system, folder, privateKey, signal)
    agent.close()
    return agent.public_key
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function appears(system: System, path: string, signal: AbortSignal): Promise<void> {
  const deadline = system.monotonic() + START_MS
  while (!(await exists(path))) {
    if (system.monotonic() > deadline)
      throw new Error('ssh-agent does not start; is openssh-client installed?')
    await system.sleep(LOOK_MS, signal)
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false
    throw error
  }
}

async function add(folder: string, privateKey: string, signal: AbortSignal): Promise<void> {
  const said: string[] = []
  const { code } = await runChild({
    program: 'ssh-add',
    args: ['-q', '-'],
    cwd: folder,
    env: { ...sshEnvironment(folder, AGENT_SOCKET), SSH_ASKPASS_REQUIRE: 'never' },
    // OpenSSH wants its own line ends, also of a key that was pasted on Windows.
    input: `${privateKey.trim().replaceAll(/\r\n?/g, '\n')}\n`,
    onLine: (line) => said.push(line),
    limits: LIMITS,
    signal,
  })
  if (code === 0) return
  const hasPassphrase = said.some((line) => /passphrase/i.test(line))
  throw new BadSshKey(
    hasPassphrase
      ? 'must have no passphrase: Berth seals it itself'
      : 'must be a private key of OpenSSH: Ed25519, ECDSA or RSA',
  )
}

async function list(folder: string, signal: AbortSignal): Promise<string> {
  let printed = ''
  await runChild({
    program: 'ssh-add',
    args: ['-L'],
    cwd: folder,
    env: sshEnvironment(folder, AGENT_SOCKET),
    onOutput: (chunk) => {
      printed += chunk.toString()
    },
    limits: LIMITS,
    signal,
  })
  const [type = '', key = ''] = printed.trim().split(' ')
  return `${type} ${key}`
}
