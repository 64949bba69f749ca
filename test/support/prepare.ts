/**
 * Makes a machine ready for the tests: system packages and a running Docker Engine. `npm test` runs it first; on a machine that has
 * everything it only looks. Run as root, or as a user with sudo.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { isStaticExecutable } from './elf.ts'
import { deniedMessage, ENGINE_SOCKET, pingEngine, startEngine } from './engine.ts'

interface Need {
  /** The Debian package that brings it. */
  package: string
  why: string
  /** Whether the machine has it, given whether an engine answers already (someone else's package may have brought that). */
  present: (engineUp: boolean) => boolean
}

/** What the tests need from the system. Add a line here, and nowhere else. */
const NEEDS: readonly Need[] = [
  { package: 'docker.io', why: 'containers', present: (engineUp) => engineUp || hasCommand('dockerd') },
  {
    package: 'iptables',
    why: 'the engine makes its networks with it',
    present: (engineUp) => engineUp || hasCommand('iptables'),
  },
  {
    package: 'age',
    why: 'the program that opens what is sealed for a recovery key',
    present: () => hasCommand('age-keygen'),
  },
  { package: 'busybox-static', why: 'the smallest test images', present: hasStaticBusybox },
  {
    package: 'docker-registry',
    why: 'the registry that ours is compared with',
    present: () => hasCommand('docker-registry'),
  },
  { package: 'skopeo', why: 'a client of the registry', present: () => hasCommand('skopeo') },
  { package: 'buildah', why: 'a client of the registry', present: () => hasCommand('buildah') },
  { package: 'podman', why: 'a client of the registry', present: () => hasCommand('podman') },
  // A package of its own since Debian 13; before, docker.io has it.
  {
    package: 'docker-cli',
    why: 'the docker command',
    present: () => hasCommand('docker') || !isKnown('docker-cli'),
  },
  { package: 'openssl', why: 'certificates to serve', present: () => hasCommand('openssl') },
  { package: 'procps', why: 'pgrep', present: () => hasCommand('pgrep') },
  { package: 'pebble', why: 'a certificate authority', present: () => hasCommand('pebble') },
  { package: 'curl', why: 'a client of the ingress', present: () => hasCommand('curl') },
  { package: 'chromium', why: 'the browser', present: () => hasCommand('chromium') },
  { package: 'git', why: 'repositories to deploy from', present: () => hasCommand('git') },
  { package: 'openssh-client', why: 'git over ssh', present: () => hasCommand('ssh-agent') },
  { package: 'openssh-server', why: 'a git server over ssh', present: () => hasCommand('sshd') },
]

function hasCommand(name: string): boolean {
  // Debian keeps these in sbin, which is not in every user's PATH.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin']
  return folders.some((folder) => folder !== '' && isExecutable(join(folder, name)))
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function isKnown(name: string): boolean {
  return spawnSync('apt-cache', ['show', name], { stdio: 'ignore' }).status === 0
}

/** The package `busybox` has the same file, linked dynamically: useless as the only file of an image. */
function hasStaticBusybox(): boolean {
  return ['/usr/bin/busybox', '/bin/busybox'].some((file) => isExecutable(file) && isStaticExecutable(file))
}

/** What precedes a command that root must run; undefined when there is no way. */
function rootPrefix(): readonly string[] | undefined {
  if (process.getuid?.() === 0) return []
  if (!hasCommand('sudo')) return undefined
  const interactive = process.stdin.isTTY && process.env['CI'] === undefined
  const prefix = interactive ? ['sudo'] : ['sudo', '-n']
  return spawnSync('sudo', [...prefix.slice(1), 'true'], { stdio: 'inherit' }).status === 0
    ? prefix
    : undefined
}

function installCommands(packages: readonly string[]): string[][] {
  const apt = ['apt-get', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3']
  return [
    [...apt, 'update', '-q'],
    [...apt, 'install', '-q', '--yes', '--no-install-recommends', ...packages],
  ]
}

function installPackages(packages: readonly string[], prefix: readonly string[]): void {
  for (const command of installCommands(packages)) {
    // Through env, because sudo does not pass the variable on.
    const [program = '', ...args] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', ...command]
    say(command.join(' '))
    const { status, error } = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    if (status === 0) continue
    const failure = `${command.join(' ')} failed: ${error?.message ?? `exit code ${status}`}`
    // One source that does not answer is no reason to give up: the packages may come from the others.
    if (!command.includes('update')) throw new Error(failure)
    say(`${failure}; going on with the package lists there are`)
  }
}

function say(line: string): void {
  console.log(`prepare: ${line}`)
}

function refuse(missing: readonly string[], startNeeded: boolean): never {
  const commands = [
    ...(missing.length > 0 ? installCommands(missing).map((command) => `sudo ${command.join(' ')}`) : []),
    ...(startNeeded
      ? [existsSync('/run/systemd/system') ? 'sudo systemctl start docker' : 'sudo dockerd &']
      : []),
  ]
  throw new Error(`this user is not root and cannot use sudo. Run this first:\n  ${commands.join('\n  ')}`)
}

async function prepare(): Promise<void> {
  const startedAt = performance.now()
  const state = await pingEngine()
  if (state === 'denied') throw new Error(deniedMessage())
  const missing = NEEDS.filter((need) => !need.present(state === 'up'))
  if (missing.length > 0 && !hasCommand('apt-get')) {
    const list = missing.map((need) => `${need.package} (${need.why})`).join(', ')
    throw new Error(
      `missing: ${list}. They are installed by themselves only where apt-get is; install them by hand`,
    )
  }
  if (missing.length > 0 || state === 'down') {
    const names = missing.map((need) => need.package)
    const prefix = rootPrefix() ?? refuse(names, state === 'down')
    if (names.length > 0) installPackages(names, prefix)
    if ((await pingEngine()) !== 'up') {
      say(`no Docker Engine answers on ${ENGINE_SOCKET}; starting one`)
      await startEngine(prefix)
    }
  }
  say(`ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
}

try {
  await prepare()
} catch (error) {
  console.error(`prepare: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
