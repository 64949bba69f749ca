import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { publicKeyOf } from '../../../src/modules/git/ssh-agent.ts'
import { fingerprintOf, generateSshKey } from '../../../src/modules/git/ssh-key.ts'
import { makeSshKey, serveGitSsh } from '../../support/git-ssh-server.ts'
import { openGitWorld } from './git-world.ts'

test('a repository comes over ssh with a key that never lies on the disk; the host key is pinned', async (t) => {
  const world = await openGitWorld(t)
  const repository = await world.repositories.create('shop.git')
  const sha = await repository.commit({ 'app.txt': 'one' })
  const server = await serveGitSsh()
  t.teardown(server.close)
  const repo_url = `${server.url}${repository.bare}`
  t.match(await world.refusal({ repo_url }), /asks for a key, and the project has none for it/)
  t.match(
    [...world.hostKeys].map(([host, { key }]) => [host, fingerprintOf(key)]),
    [[server.host, server.fingerprint]],
    'the first connection pins the key',
  )
  for (const type of ['ed25519', 'rsa', 'ecdsa']) {
    const key = await makeSshKey(type)
    world.credentials.set(server.host, { kind: 'ssh_key', name: type, private_key: key.private_key })
    if (type === 'ed25519') t.match(await world.refusal({ repo_url }), "refuses the project's key")
    await server.authorize(key.public_key)
    const { commit, folder } = await world.fetch({ repo_url })
    t.equal(commit.sha, sha, type)
    t.equal(await readFile(join(folder, 'app.txt'), 'utf8'), 'one')
  }
  t.ok(world.log.some((line) => line.includes(`pinned its host key ssh-ed25519 ${server.fingerprint}`)))
  t.same(await world.leftovers(), [])
})

test('a key that Berth makes is taken; a changed host key ends the fetch until it is forgotten', async (t) => {
  const world = await openGitWorld(t)
  const repository = await world.repositories.create('shop.git')
  await repository.commit({ 'app.txt': 'one' })
  const server = await serveGitSsh()
  const port = Number(new URL(server.url).port)
  const repo_url = `${server.url}${repository.bare}`
  const private_key = generateSshKey(createSystem(), 'berth')
  world.credentials.set(server.host, { kind: 'ssh_key', name: 'made here', private_key })
  const refused = await world.refusal({ repo_url })
  t.match(refused, "refuses the project's key")
  const public_key = await publicKeyOf(createSystem(), private_key, new AbortController().signal)
  await server.authorize(public_key)
  await world.fetch({ repo_url })
  await server.close()

  const other = await serveGitSsh({ port })
  t.teardown(other.close)
  await other.authorize(public_key)
  const changed = await world.refusal({ repo_url })
  t.match(changed, `it shows ${other.fingerprint} now, pinned is ${server.fingerprint}`)
  world.hostKeys.clear()
  await world.fetch({ repo_url })
  t.equal(fingerprintOf(world.hostKeys.get(other.host)?.key ?? ''), other.fingerprint)
})

test('over ssh come submodules beside their repository and a branch as it was force-pushed, and a bad ref is named', async (t) => {
  const world = await openGitWorld(t)
  const [shop, library] = [
    await world.repositories.create('shop.git'),
    await world.repositories.create('library.git'),
  ]
  const server = await serveGitSsh()
  t.teardown(server.close)
  const { private_key, public_key } = await makeSshKey()
  await server.authorize(public_key)
  world.credentials.set(server.host, { kind: 'ssh_key', name: 'deploy', private_key })
  await library.commit({ 'lib.txt': 'library' })
  await shop.git('-c', 'protocol.file.allow=always', 'submodule', 'add', '-q', library.bare, 'vendor/lib')
  await shop.git('config', '-f', '.gitmodules', 'submodule.vendor/lib.url', '../library.git')
  const before = await shop.commit({ 'app.txt': 'one' })
  const repo_url = `${server.url}${shop.bare}`
  const { commit, folder } = await world.fetch({ repo_url, submodules: true })
  t.equal(commit.sha, before)
  t.equal(await readFile(join(folder, 'vendor/lib/lib.txt'), 'utf8'), 'library')
  await shop.git('commit', '-q', '--amend', '-m', 'Amended')
  const after = await shop.commit({ 'app.txt': 'two' }, { force: true })
  t.equal((await world.fetch({ repo_url, git_ref: 'main' })).commit.sha, after)
  await shop.git('-C', shop.bare, 'gc', '-q', '--prune=now')
  t.match(await world.refusal({ repo_url, git_ref: before }), /has no commit [0-9a-f]{40}; a force push/)
  t.match(await world.refusal({ repo_url, git_ref: 'nope' }), 'has no branch or tag nope')
  t.match(await world.refusal({ repo_url: `${repo_url}-none` }), /has no repository|no such|not/i)
  t.same(await world.leftovers(), [])
})

test('an ssh server that says nothing is left', async (t) => {
  const world = await openGitWorld(t)
  const silent = createServer(() => {})
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => silent.close())
  const { port } = silent.address() as AddressInfo
  const repo_url = `ssh://git@127.0.0.1:${port}/shop.git`
  t.match(await world.refusal({ repo_url }, { git_timeout_seconds: 1 }), 'took longer than 1 s')
  const controller = new AbortController()
  silent.once('connection', () => controller.abort(new Error('cancelled by a test')))
  t.equal(await world.refusal({ repo_url, signal: controller.signal }), 'cancelled by a test')
  t.same(await world.leftovers(), [])
})
