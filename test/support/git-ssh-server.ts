import { execFile, spawn } from 'node:child_process'
import { appendFile, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo, connect } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface GitSshServer {
  /** `ssh://user@127.0.0.1:port`: the path of a repository follows. */
  url: string
  host: string
  /** The fingerprint of its host key. */
  fingerprint: string
  /** Lets a public key in. */
  authorize(publicKey: string): Promise<void>
  close(): Promise<void>
}

/** Starts a private sshd on a free loopback port, with its own keys, for the user who runs the tests. */
export async function serveGitSsh(options: { port?: number } = {}): Promise<GitSshServer> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-sshd-'))
  await chmod(folder, 0o755)
  const [hostKey, authorized, config] = [
    join(folder, 'host_key'),
    join(folder, 'authorized_keys'),
    join(folder, 'config'),
  ]
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', hostKey])
  await writeFile(authorized, '', { mode: 0o600 })
  const port = options.port ?? (await freePort())
  const settings = {
    Port: port,
    ListenAddress: '127.0.0.1',
    HostKey: hostKey,
    PidFile: 'none',
    AuthorizedKeysFile: authorized,
    PasswordAuthentication: 'no',
    KbdInteractiveAuthentication: 'no',
    UsePAM: 'no',
    PermitRootLogin: 'prohibit-password',
    StrictModes: 'no',
    AcceptEnv: 'GIT_PROTOCOL',
    // bash reads the user's own .bashrc, whatever that does, when sshd starts it as the outermost shell.
    SetEnv: 'SHLVL=2',
    LogLevel: 'ERROR',
  }
  await writeFile(
    config,
    Object.entries(settings)
      .map(([name, value]) => `${name} ${value}\n`)
      .join(''),
  )
  // Where sshd locks up its helper when root starts it; the package's service makes it otherwise.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
  const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await listens(
    port,
    () => said,
    () => child.exitCode !== null,
  )
  const fingerprint = (await run('ssh-keygen', ['-lf', `${hostKey}.pub`])).stdout.split(' ')[1] ?? ''
  return {
    url: `ssh://${userInfo().username}@127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    fingerprint,
    authorize: (publicKey) => appendFile(authorized, `${publicKey}\n`),
    close: async () => {
      const over = new Promise((resolve) => child.once('close', resolve))
      child.kill('SIGTERM')
      await over
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A private key with its public half. */
export async function makeSshKey(
  type = 'ed25519',
  passphrase = '',
): Promise<{ private_key: string; public_key: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-key-'))
  try {
    const file = join(folder, 'key')
    await run('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', 'test', '-f', file])
    return {
      private_key: await readFile(file, 'utf8'),
      public_key: (await readFile(`${file}.pub`, 'utf8')).trim(),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function listens(port: number, said: () => string, isOver: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1000; tries += 1) {
    if (isOver()) throw new Error(`sshd ended: ${said()}`)
    const socket = connect(port, '127.0.0.1')
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    await delay(10)
  }
  throw new Error(`sshd does not listen: ${said()}`)
}
