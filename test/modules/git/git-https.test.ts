import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { serveGitHttps } from '../../support/git-https-server.ts'
import { openGitWorld } from './git-world.ts'

test('a branch, a tag, a commit and any other ref are fetched, with the facts of the commit', async (t) => {
  const world = await openGitWorld(t)
  const repository = await world.repositories.create('shop.git')
  const server = await serveGitHttps(world.repositories.root, world.authority)
  t.teardown(server.close)
  const repo_url = `${server.url}/shop.git`
  const first = await repository.commit(
    { 'app.txt': 'one', 'run.sh': '#!/bin/sh\n' },
    { message: 'First\n\nAnd more.' },
  )
  await repository.git('tag', '-a', 'v1', '-m', 'a tag')
  await repository.git('push', '-q', repository.bare, 'v1')
  const second = await repository.commit({ 'app.txt': 'two' }, { message: 'Second' })
  await repository.commit({ 'app.txt': 'three' }, { branch: 'feature/x', message: 'Third' })

  const latest = await world.fetch({ repo_url })
  t.same(latest.commit, {
    sha: second,
    ref: 'refs/heads/main',
    author: 'Olive Author',
    message: 'Second',
  })
  t.equal(await readFile(join(latest.folder, 'app.txt'), 'utf8'), 'two')
  t.same((await readdir(latest.folder)).toSorted(), ['app.txt', 'run.sh'], 'there is no .git')

  const tagged = await world.fetch({ repo_url, git_ref: 'v1' })
  t.match(tagged.commit, { sha: first, ref: 'refs/tags/v1', message: 'First' })
  t.equal(await readFile(join(tagged.folder, 'app.txt'), 'utf8'), 'one')

  t.match((await world.fetch({ repo_url, git_ref: first })).commit, { sha: first, ref: null })
  t.match((await world.fetch({ repo_url, git_ref: 'feature/x' })).commit, { message: 'Third' })
  t.match((await world.fetch({ repo_url, git_ref: 'refs/tags/v1' })).commit, { sha: first })
  t.same(await world.leftovers(), [], 'nothing is left of what was needed meanwhile')
})

test('a force-pushed branch is fetched as it is now', async (t) => {
  const world = await openGitWorld(t)
  const repository = await world.repositories.create('shop.git')
  const server = await serveGitHttps(world.repositories.root, world.authority)
  t.teardown(server.close)
  const repo_url = `${server.url}/shop.git`
  const before = await repository.commit({ 'app.txt': 'one' })
  await world.fetch({ repo_url })
  await repository.git('commit', '-q', '--amend', '-m', 'Amended')
  const after = await repository.commit({ 'app.txt': 'two' }, { force: true })
  t.equal((await world.fetch({ repo_url })).commit.sha, after)
  t.equal(
    (await world.fetch({ repo_url, git_ref: before })).commit.sha,
    before,
    'the server still gives it out',
  )
  await repository.git('-C', repository.bare, 'gc', '-q', '--prune=now')
  t.match(
    await world.refusal({ repo_url, git_ref: before }),
    /has no commit [0-9a-f]{40}; a force push may have removed it/,
  )
})

test('what is not there is named', async (t) => {
  const world = await openGitWorld(t)
  const repository = await world.repositories.create('shop.git')
  await world.repositories.create('empty.git')
  const server = await serveGitHttps(world.repositories.root, world.authority)
  t.teardown(server.close)
  await repository.commit({ 'app.txt': 'one' })
  const repo_url = `${server.url}/shop.git`
  t.match(await world.refusal({ repo_url, git_ref: 'nope' }), 'The repository has no branch or tag nope.')
  t.match(await world.refusal({ repo_url, git_ref: 'refs/pull/1/head' }), 'has no ref refs/pull/1/head')
  t.match(await world.refusal({ repo_url: `${server.url}/none.git` }), 'has no repository /none.git')
  t.match(await world.refusal({ repo_url: `${server.url}/empty.git` }), 'is empty')
  t.match(
    await world.refusal({ repo_url, git_ref: '--upload-pack=touch /tmp/x' }),
    'cannot be the name of a branch',
  )
  for (const bad of [
    'ext::sh -c id',
    'file:///etc',
    '/etc',
    'fd::3',
    '-oProxyCommand=id',
    'git://localhost/x',
  ])
    t.match(await world.refusal({ repo_url: bad }), /The URL of the repository must/, bad)
  t.match(await world.refusal({ repo_url: repo_url.replace('https', 'http') }), 'must use https or ssh')
})

test('a token goes to its host alone', async (t) => {
  const world = await openGitWorld(t)
  const repository = await world.repositories.create('shop.git')
  const [server, other] = await Promise.all([
    serveGitHttps(world.repositories.root, world.authority, { credential: 'bot:s3cret-token' }),
    serveGitHttps(world.repositories.root, world.authority, { host: '127.0.0.2' }),
  ])
  t.teardown(() => Promise.all([server.close(), other.close()]))
  const library = await world.repositories.create('library.git')
  await library.commit({ 'lib.txt': 'library' })
  await repository.commit({ 'app.txt': 'one' })
  await repository.git('clone', '-q', library.bare, 'vendor/lib')
  await repository.git(
    '-c',
    'protocol.file.allow=always',
    'submodule',
    'add',
    '-q',
    library.bare,
    'vendor/lib',
  )
  await repository.git('config', '-f', '.gitmodules', 'submodule.vendor/lib.url', `${other.url}/library.git`)
  await repository.commit({}, { message: 'With a submodule' })
  const repo_url = `${server.url}/shop.git`

  t.match(await world.refusal({ repo_url }), /asks for a token, and the project has none for it/)
  const host = new URL(server.url).host
  world.credentials.set(host, { kind: 'https_token', name: 'bot', username: 'bot', token: 'wrong' })
  t.match(await world.refusal({ repo_url }), "refuses the project's token")
  world.credentials.set(host, { kind: 'https_token', name: 'bot', username: 'bot', token: 's3cret-token' })

  const without = await world.fetch({ repo_url })
  t.same(
    await readdir(join(without.folder, 'vendor/lib')),
    [],
    'submodules come only when they are asked for',
  )
  t.equal(other.seen.length, 0)
  const { folder } = await world.fetch({ repo_url, submodules: true })
  t.equal(await readFile(join(folder, 'vendor/lib/lib.txt'), 'utf8'), 'library')
  t.ok(other.seen.length > 0)
  t.ok(
    other.seen.every(({ authorization }) => authorization === undefined),
    'the other host saw no token',
  )
  t.notMatch(world.log.join('\n'), 's3cret', 'the log holds no token')
})

test('a redirect is not followed', async (t) => {
  const world = await openGitWorld(t)
  const repository = await world.repositories.create('shop.git')
  await repository.commit({ 'app.txt': 'one' })
  const other = await serveGitHttps(world.repositories.root, world.authority, { host: '127.0.0.2' })
  const server = await serveGitHttps(world.repositories.root, world.authority, {
    intercept: (request, response) => {
      response.writeHead(301, { location: `${other.url}${request.url}` }).end()
      return true
    },
  })
  t.teardown(() => Promise.all([server.close(), other.close()]))
  t.match(await world.refusal({ repo_url: `${server.url}/shop.git` }), 'answers with a redirect')
  t.equal(other.seen.length, 0)
})

test('private addresses and unknown authorities are refused', async (t) => {
  const world = await openGitWorld(t)
  const repository = await world.repositories.create('shop.git')
  await repository.commit({ 'app.txt': 'one' })
  const server = await serveGitHttps(world.repositories.root, world.authority)
  t.teardown(server.close)
  const repo_url = `${server.url}/shop.git`
  t.match(
    await world.refusal({ repo_url }, { git_private_ranges: [] }),
    /is a private address .* git_private_ranges/,
  )
  for (const host of ['[::ffff:127.0.0.1]', '0x7f.1', '169.254.169.254', '[fd00::1]'])
    t.match(
      await world.refusal({ repo_url: `https://${host}/a.git` }, { git_private_ranges: [] }),
      'private address',
      host,
    )
  t.match(await world.refusal({ repo_url: 'https://nowhere.invalid/a.git' }), 'cannot be found')
  t.equal(server.seen.length, 0, 'nothing was connected to')
  t.match(await world.refusal({ repo_url }, { git_ca_file: undefined }), /certificate .* git_ca_file/i)
})

test('a server that stalls is left, and a cancellation ends git with all that it started', async (t) => {
  const world = await openGitWorld(t)
  const repository = await world.repositories.create('shop.git')
  await repository.commit({ 'app.txt': 'one' })
  const stalled: (() => void)[] = []
  const server = await serveGitHttps(world.repositories.root, world.authority, {
    intercept: (request) => {
      if (request.method !== 'POST' || request.headers['git-protocol'] === undefined) return false
      for (const tell of stalled) tell()
      return true
    },
  })
  t.teardown(server.close)
  const repo_url = `${server.url}/shop.git`
  t.match(
    await world.refusal({ repo_url, git_ref: 'a'.repeat(40) }, { git_stall_seconds: 1 }),
    /sent nothing for 1 s|stopped sending/,
  )
  t.match(await world.refusal({ repo_url }, { git_timeout_seconds: 1 }), 'took longer than 1 s')

  const controller = new AbortController()
  stalled.push(() => controller.abort(new Error('cancelled by a test')))
  const startedAt = performance.now()
  t.equal(await world.refusal({ repo_url, signal: controller.signal }), 'cancelled by a test')
  t.ok(performance.now() - startedAt < 5000, 'at once')
  t.same(await world.leftovers(), [])
})
