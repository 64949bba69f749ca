import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { readArguments } from '../../src/cli/arguments.ts'
import { readDuration } from '../../src/cli/duration.ts'
import { plain, plainJson, plainOutput } from '../../src/cli/plain-text.ts'
import { formatBytes, formatSeconds, progressLine } from '../../src/cli/progress-bar.ts'
import { suggest } from '../../src/cli/suggestion.ts'
import { isGroup } from '../../src/cli/verb.ts'
import { VERBS } from '../../src/cli/verb-table.ts'
import { deploy } from '../../src/cli/verbs/deploy.ts'
import { startApiServer } from '../support/api-server.ts'
import { newPerson } from '../support/berth-command.ts'

test('each command has a help that names its options and shows an example', async (t) => {
  const person = await newPerson(t)
  for (const [name, entry] of Object.entries(VERBS)) {
    const found = await entry.load()
    const verbs = isGroup(found)
      ? Object.entries(found.verbs).map(([inner, verb]) => [`${name} ${inner}`, verb] as const)
      : [[name, found] as const]
    for (const [words, verb] of verbs) {
      t.ok(verb.usage.startsWith(words), `${words}: usage`)
      t.ok(
        verb.examples.every((line) => line.includes(`berth ${words}`) || line.includes('berth')),
        `${words}: example`,
      )
      for (const [option, { about }] of Object.entries(verb.options))
        t.ok(about.length > 5, `${words} --${option}`)
    }
  }
  const { status, stdout, stderr } = await person.berth(['logs', '--help'])
  t.equal(status, 0)
  t.equal(stderr, '')
  t.match(stdout, /Usage: berth logs \[SERVICE\][\s\S]*-f, --follow[\s\S]*Examples:\n {2}berth logs hello -f/)
})

const USAGE: [args: string[], said: string][] = [
  [['depoly'], 'unknown command depoly; did you mean berth deploy?'],
  [['frobnicate'], 'unknown command frobnicate'],
  [['services', 'shwo'], 'unknown command services shwo; did you mean berth services show?'],
  [['deploy', '--servcie', 'x'], 'unknown option --servcie; did you mean --service?'],
  [['deploy', '-z'], 'unknown option -z'],
  [['deploy', '--service'], '--service needs a value: --service SERVICE'],
  [['deploy', '--service', '--yes'], '--service needs a value, and --yes looks like an option'],
  [['deploy', '--yes=no'], '--yes takes no value'],
  [['deploy', '--target', 'a', '--target', 'b'], '--target is given twice'],
  [
    ['env', 'ls', 'shop/web'],
    'unexpected argument shop/web: berth env ls\n  If that is a service: use --service shop/web',
  ],
  [
    ['env', 'set', 'shop/web', 'A=1'],
    'shop/web is no variable\n  If that is a service: use --service shop/web',
  ],
  [['open', '-s', 'web'], 'unknown option -s\n  The service is an argument here: berth open [SERVICE]'],
  [['deploy', 'a', 'b'], 'unexpected argument b: berth deploy [DIR]'],
  [['services', 'rm'], 'something is missing: berth services rm SERVICE'],
  [['ps', '-o', 'yaml'], '--output knows json and text, not yaml'],
  [['deploy', '--port', '70000'], '--port 70000 is neither a port nor "none"'],
  [['deploy', '--build-secret', 'TOKEN=abc'], '--build-secret TOKEN is not the NAME of a variable'],
  [['deploy', '--build-arg', 'A'], '--build-arg A is not NAME=VALUE'],
  [['deploy', 'no/such/folder'], 'there is no folder'],
  [['-x', 'ps'], 'unknown option -x'],
  [['-q'], 'a command is missing before -q'],
]

for (const [args, said] of USAGE) {
  test(`berth ${args.join(' ')} is refused: ${said}`, async (t) => {
    const person = await newPerson(t, { BERTH_URL: 'http://127.0.0.1:9', BERTH_TOKEN: 'x' })
    const { status, stdout, stderr } = await person.berth(args)
    t.equal(status, 2)
    t.equal(stdout, '')
    t.ok(stderr.startsWith(`berth: ${said}`), stderr)
  })
}

test('options may stand before the command, and help in any form', async (t) => {
  const person = await newPerson(t)
  const { stdout } = await person.berth(['-o', 'json', 'version'])
  t.match(JSON.parse(stdout), { version: /^\d+\.\d+\.\d+/, node: process.versions.node })
  const help = await person.berth(['help', 'tokens', 'create'])
  t.match(help.stdout, 'Usage: berth tokens create NAME')
  t.match((await person.berth(['tokens', '--help'])).stdout, /Commands:\n {2}berth tokens ls/)
  const env = (await person.berth(['env', '--help'])).stdout
  t.match(env, /Sets all variables of a \.env file; - reads it from stdin\n/)
  t.match(env, /berth env unset NAME \.\.\. +Removes environment variables\n/, 'without the full stop')
  t.match((await person.berth(['--help'])).stdout, /Usage: berth COMMAND/)
  t.match(await person.berth([]), { status: 2, stdout: /Usage: berth COMMAND/ })
  t.match(await person.berth(['--version']), { status: 0, stdout: /^berth \d/ })
})

test('npm run berth works where the user stands, not in the folder of Berth', async (t) => {
  const { home, environment } = await newPerson(t)
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const npm = join(root, 'node_modules/.bin/npm')
  const args = ['--prefix', root, 'run', '--silent', 'berth', '--', 'deploy', 'no/such']
  const child = spawn(npm, args, { cwd: home, env: environment, stdio: ['ignore', 'ignore', 'pipe'] })
  t.match(await text(child.stderr), `berth: there is no folder ${home}/no/such\n`)
})

test('a failure is one line of JSON on stderr with -o json, and stdout stays empty', async (t) => {
  const person = await newPerson(t)
  const { status, stdout, stderr } = await person.berth(['ps', '-o', 'json'])
  t.equal(status, 3)
  t.equal(stdout, '')
  t.match(JSON.parse(stderr), {
    error: 'NOT_SIGNED_IN',
    message: 'you are not signed in to any server',
    exit_status: 3,
  })
})

test('a server that is not there is told apart by its exit status', async (t) => {
  const person = await newPerson(t)
  const api = await startApiServer(t)
  await api.close()
  const ask = (url: string) => person.berth(['ps'], { environment: { BERTH_URL: url, BERTH_TOKEN: 'x' } })
  t.match(await ask(api.url), {
    status: 7,
    stderr: `berth: cannot reach ${api.url}: nothing listens there\n`,
  })
  t.match(await ask('http://127.0.0.1:1'), { status: 7, stderr: /that port is reserved/ })
  t.match(await ask('no-such-host.invalid'), {
    status: 7,
    stderr: /cannot reach https:\/\/no-such-host.invalid: /,
  })
})

test('values may begin with a dash when they are joined to their option', async (t) => {
  const { flags, operands } = readArguments('deploy', deploy, [
    '--target=-x',
    '--build-arg',
    'A=1',
    '--build-arg',
    'B=',
    '-y',
    '--',
    '-dir',
  ])
  t.match(flags, { target: '-x', 'build-arg': ['A=1', 'B='], yes: true, detach: false, service: undefined })
  t.same(operands, ['-dir'])
})

test('the nearest name is suggested, and none that is far', async (t) => {
  const known = ['deploy', 'releases', 'logs', 'login', 'logout', 'ps']
  t.equal(suggest('delpoy', known), 'deploy')
  t.equal(suggest('rel', known), 'releases')
  t.equal(suggest('lgo', known), undefined)
  t.equal(suggest('zzz', known), undefined)
})

test('text from elsewhere cannot steer a terminal', async (t) => {
  t.equal(plain('a\u001B[2J\rb\u0007\u009B31m\u202Ec\td'), 'a^[[2J^Mb^G\\u{9b}31m\\u{202e}c\td')
  t.equal(plain('x\ny'), 'x^Jy')
  t.equal(
    plainOutput('\u001B[31mred\u001B[0m\u001B]0;title\u0007', true),
    '\u001B[31mred\u001B[0m^[]0;title^G\u001B[0m',
  )
  t.equal(plainOutput('\u001B[31mred\u001B[0m', false), 'red')
  t.equal(plainOutput('10%\r50%\r100%\r', false), '100%')
  t.equal(plainJson({ a: '\u009B\u202E\u001B' }, 0), '{"a":"\\u009b\\u202e\\u001b"}')
  t.same(JSON.parse(plainJson({ a: '\u007F\n"' }, 2)), { a: '\u007F\n"' })
})

test('durations, sizes and times are shown as people write them', async (t) => {
  t.equal(readDuration('1h30m'), 5_400_000)
  t.equal(readDuration('2w'), 1_209_600_000)
  for (const bad of ['', '10', 'm', '1.5h', '-5m', '5 m', '99999999w'])
    t.equal(readDuration(bad), undefined, bad)
  t.same([0, 1023, 1024, 1024 ** 2 - 1, 5.25 * 1024 ** 3].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.0 MiB',
    '5.3 GiB',
  ])
  t.same([0.42, 1, 59.6, 61, 7260].map(formatSeconds), [
    '0.4 s',
    '1 s',
    '1 min 0 s',
    '1 min 1 s',
    '2 h 1 min',
  ])
})

test('a progress line fits its terminal', async (t) => {
  const progress = { done: 512 * 1024, total: 1024 ** 2, sent: 256 * 1024 }
  t.equal(
    progressLine('Uploading', progress, 2000, 100),
    'Uploading [===============>              ]  50%  256.0 KiB sent  128.0 KiB/s  2 s left',
  )
  for (const width of [10, 40, 60, 79, 200])
    t.ok(progressLine('Uploading', progress, 2000, width).length <= width, `${width}`)
  t.match(progressLine('Uploading', { done: 0, total: 0, sent: 0 }, 0, 80), /100%/)
})
