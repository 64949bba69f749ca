import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'

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
