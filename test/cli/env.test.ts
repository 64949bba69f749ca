import { test } from 'tap'
import { readEnvFile, writeEnvFile } from '../../src/cli/env-file.ts'
import { openCliDaemon } from '../support/cli-daemon.ts'

test('variables are set from the command line, stdin, a question and files, and listed without their values', async (t) => {
  const { app, person, token, write } = await openCliDaemon(t)
  const made = await app.must(token, 'POST', '/v1/services', { name: 'web', source: { type: 'upload' } })
  const url = `/v1/services/${String(made.body['id'])}/env`
  const set = ['env', 'set', '-s', 'web']
  t.match(await person.berth([...set, 'GREETING=hello=you', 'EMPTY=']), {
    status: 0,
    stderr: /Set GREETING, EMPTY of web.\n.*next deployment/,
  })
  t.match(await person.berth([...set, 'SECRET'], { input: 'of stdin\n' }), { status: 0 })
  await write('key.pem', 'two\nlines\n')
  t.match(await person.berth([...set, '--file', 'KEY=key.pem']), { status: 0 })
  const terminal = person.terminal([...set, 'ASKED'])
  await terminal.shows('Value of ASKED:')
  terminal.type('typed\r')
  t.match(await terminal.ended, { status: 0, shown: /^(?![^]*typed)/ })
  const wanted = {
    ASKED: 'typed',
    EMPTY: '',
    GREETING: 'hello=you',
    KEY: 'two\nlines',
    SECRET: 'of stdin',
  }
  t.same((await app.must(token, 'GET', url)).body, wanted)
  t.equal((await person.berth(['env', 'ls', '-s', 'web'])).stdout, 'ASKED\nEMPTY\nGREETING\nKEY\nSECRET\n')
  t.match((await person.berth(['env', 'ls', '-s', 'web', '--values'])).stdout, /GREETING +hello=you/)
  for (const format of ['text', 'json']) {
    const show = ['services', 'show', 'web', '-o', format]
    const { stdout } = await person.berth(show)
    t.match(stdout, /ASKED[^]*EMPTY[^]*SECRET/, 'the names')
    for (const value of ['typed', 'of stdin', 'hello=you']) t.notMatch(stdout, value)
    t.match((await person.berth([...show, '--values'])).stdout, /hello=you[^]*of stdin/)
  }
  t.match(await person.berth([...set, 'A', 'B'], { input: 'x' }), { status: 2, stderr: /one NAME at a time/ })
  const bad = await person.berth([...set, '1X=canary'])
  t.match(bad, { status: 2, stderr: /1X=\.\.\. is neither/ })
  t.notMatch(bad.stderr, 'canary')
})

test('what is exported can be imported, whole or on top', async (t) => {
  const { app, person, token, write } = await openCliDaemon(t)
  const made = await app.must(token, 'POST', '/v1/services', {
    name: 'web',
    source: { type: 'upload' },
    env: { A: '1', QUOTED: `it's "so" \\n`, LINES: 'one\ntwo' },
  })
  const url = `/v1/services/${String(made.body['id'])}/env`
  const before = (await app.must(token, 'GET', url)).body
  const { stdout } = await person.berth(['env', 'export', '-s', 'web'])
  await write('.env', stdout)
  await app.must(token, 'PUT', url, { OTHER: 'x' })
  t.match(await person.berth(['env', 'import', '.env', '-s', 'web']), { status: 0 })
  t.same((await app.must(token, 'GET', url)).body, { ...before, OTHER: 'x' })
  t.match(await person.berth(['env', 'import', '-', '-s', 'web', '--replace'], { input: stdout }), {
    status: 0,
  })
  t.same((await app.must(token, 'GET', url)).body, before)
  t.match(await person.berth(['env', 'unset', 'A', 'NOPE', '-s', 'web']), {
    status: 0,
    stderr: /There was no NOPE.\nRemoved 1 of web/,
  })
  t.match(await person.berth(['env', 'import', 'nope', '-s', 'web']), { status: 2, stderr: /cannot read/ })
  t.match(await person.berth(['env', 'export', '-s', 'web', '-o', 'json']), {
    stdout: /"LINES": "one\\ntwo"/,
  })
})

test('a .env file holds every value that it can hold, and refuses the others by name', async (t) => {
  const env = {
    PLAIN: 'a/b:c.d',
    SPACED: ' a  b ',
    HASH: 'a # b',
    SINGLE: "it's",
    DOUBLE: '{"a": "b"}',
    BACKSLASH: 'C:\\new',
    LINES: 'one\n\ntwo\n',
    DOLLAR: '$HOME ${X}',
    UNICODE: 'grüße',
    EMPTY: '',
  }
  t.same(readEnvFile(writeEnvFile(env), 'here'), env)
  t.throws(() => writeEnvFile({ MIXED: '\'`"' }), { message: /value of MIXED/ })
  t.throws(() => readEnvFile('# nothing\n', '.env'), { message: '.env holds no variable' })
})

test('a .env file is read as others read it, and refused by lines where they pass over something', async (t) => {
  const good = [
    '\uFEFF# remark with = and "',
    'export A=1 # remark',
    '',
    '  EMPTY= ',
    'B="two\nC lines" # not C',
    "SINGLE='a\\nb'",
    'DOUBLE="a\\nb"',
    'OPEN="a',
  ].join('\r\n')
  const { A, EMPTY, B, SINGLE, DOUBLE, OPEN, ...others } = readEnvFile(good, '.env')
  t.same([A, EMPTY, B, SINGLE, DOUBLE, OPEN], ['1', '', 'two\nC lines', 'a\\nb', 'a\nb', '"a'])
  t.same(others, {})
  const cut: string[] = []
  const odd = ['A=pass#word', 'B=#fff', 'C=1 # remark', 'D="x#y"', 'E= #', 'F=x#1', 'F=y'].join('\n')
  t.match(
    readEnvFile(odd, '.env', (names) => cut.push(...names)),
    { A: 'pass', B: '', D: 'x#y' },
  )
  t.same(cut, ['A', 'B'])
  const bad = ['A=1', 'DB: canary', 'C canary', 'D="a', 'b" canary', '1E=x', 'export', 'F=1']
  t.throws(() => readEnvFile(bad.join('\n'), '.env'), {
    message: /^\.env: lines 2, 3, 5, 6, 7: (?!.*canary)/,
  })
  const { app, person, token, write } = await openCliDaemon(t)
  const service = { name: 'web', source: { type: 'upload' }, env: { KEPT: 'x' } }
  const made = await app.must(token, 'POST', '/v1/services', service)
  await write('.env', 'A=1\nKEPT: x\n')
  t.match(await person.berth(['env', 'import', '.env', '-s', 'web', '--replace']), {
    status: 2,
    stderr: /\.env: line 2: /,
  })
  t.same((await app.must(token, 'GET', `/v1/services/${String(made.body['id'])}/env`)).body, { KEPT: 'x' })
  await write('.env', 'PASSWORD=canary#canary\n')
  const warned = await person.berth(['env', 'import', '.env', '-s', 'web'])
  t.match(warned, { status: 0, stderr: /warning: PASSWORD: without quotes the value ends before its #/ })
  t.notMatch(warned.stderr, /canary/)
})

test('a service is scaled, stopped and started', async (t) => {
  const { app, person, token } = await openCliDaemon(t)
  const made = await app.must(token, 'POST', '/v1/services', { name: 'web', source: { type: 'upload' } })
  const url = `/v1/services/${String(made.body['id'])}`
  t.match(await person.berth(['scale', 'web', '3']), { status: 0, stderr: /runs 3 replicas .* it was 1/ })
  t.equal((await app.must(token, 'GET', url)).body['replicas'], 3)
  t.match(await person.berth(['scale', 'web', 'many']), { status: 2, stderr: /many is not a number/ })
  t.match(await person.berth(['stop', 'web']), { status: 0 })
  t.match(await person.berth(['start', 'web']), { status: 5 }, 'there is no release to start')
  const events = await app.must(token, 'GET', '/v1/audit-events?resource=service')
  t.same(
    events.list.map(({ action }) => action),
    ['stopService', 'scaleService', 'createService'],
  )
  const nothing = await person.berth(['rollback', 'web'])
  t.match(nothing, { status: 5 }, 'there is nothing to go back to')
  t.match(await person.berth(['rollback', 'web', '--to', '7']), { status: 4, stderr: /no deployment 7/ })
  t.match(await person.berth(['redeploy', 'web']), { status: 5 })
})
