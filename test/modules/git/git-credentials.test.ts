import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { readRepositoryUrl } from '../../../src/lib/repository-url.ts'
import { chooseCredential } from '../../../src/modules/git/credential-choice.ts'
import type { GitCredentialRow } from '../../../src/modules/git/git-credential-schema.ts'
import { openApp } from '../../support/app.ts'
import { makeSshKey } from '../../support/git-ssh-server.ts'

async function open(t: Test) {
  const app = await openApp()
  t.teardown(app.close)
  const root = await app.bootstrap()
  const project = String((await app.must(root, 'POST', '/v1/projects', { name: 'shop' })).body['id'])
  return { app, root, project, url: `/v1/projects/${project}/credentials/git` }
}

test('a key is made here: its public half is answered, the other never', async (t) => {
  const { app, root, url } = await open(t)
  const made = await app.must(root, 'POST', url, { generate: true })
  t.match(made.body, {
    kind: 'ssh_key',
    host: null,
    path: null,
    public_key: /^ssh-ed25519 AAAA/,
    fingerprint: /^SHA256:/,
    last_used_at: null,
    created_by: { name: 'root' },
  })
  t.equal(made.status, 201)
  const id = String(made.body['id'])
  const read = await app.must(root, 'GET', `${url}/${id}`)
  t.same(read.body, made.body)
  t.notMatch(JSON.stringify(made.body) + read.text, /PRIVATE|secret|sealed/)
})

test('stored keys and tokens are sealed, read in their kinds, and go when they are deleted', async (t) => {
  const { app, root, project, url } = await open(t)
  const { private_key, public_key } = await makeSshKey('rsa')
  const key = await app.must(root, 'POST', url, {
    kind: 'ssh_key',
    private_key: private_key.replaceAll('\n', '\r\n'),
    host: 'Git.Example.com:2222',
    path: '/acme/shop.git',
    name: 'deploy key',
  })
  t.match(key.body, { host: 'git.example.com:2222', path: 'acme/shop', name: 'deploy key' })
  t.ok(public_key.startsWith(String(key.body['public_key'])))
  const token = await app.must(root, 'POST', url, {
    kind: 'https_token',
    host: 'git.example.com',
    token: 'tok-en-0123456789',
  })
  t.match(token.body, {
    kind: 'https_token',
    username: 'x-access-token',
    public_key: null,
    fingerprint: null,
  })
  t.same(
    (await app.must(root, 'GET', url)).list.map(({ id }) => id),
    [token.body['id'], key.body['id']],
  )
  for (const file of ['berth.db', 'berth.db-wal'])
    t.notMatch(await readFile(join(app.dataDir, file), 'latin1'), /tok-en-0123456789|BEGIN OPENSSH/, file)
  t.notMatch(app.log(), 'tok-en-0123456789')

  const one = `${url}/${String(key.body['id'])}`
  const asRead = { 'if-match': String((await app.must(root, 'GET', one)).headers['etag']) }
  t.equal((await app.send(root, 'DELETE', one, undefined, asRead)).status, 204)
  t.equal((await app.send(root, 'GET', `${url}/${String(key.body['id'])}`)).status, 404)
  t.equal((await app.send(root, 'DELETE', url)).status, 204)
  t.same((await app.must(root, 'GET', url)).list, [])
  const audit = await app.must(root, 'GET', `/v1/audit-events?project_id=${project}`)
  t.equal(audit.list.filter(({ action }) => String(action).endsWith('GitCredential')).length, 4)
})

test('what does not fit together is refused by field, without the values', async (t) => {
  const { app, root, url } = await open(t)
  const locked = await makeSshKey('ed25519', 'a passphrase')
  const cases: [body: object, field: string, message: RegExp][] = [
    [{}, 'kind', /required/],
    [{ kind: 'https_token', token: 'x' }, 'host', /required/],
    [{ kind: 'https_token', host: 'h.example' }, 'token', /required/],
    [
      { kind: 'https_token', host: 'h.example', token: 'x', private_key: 'y' },
      'private_key',
      /does not belong/,
    ],
    [{ kind: 'https_token', host: 'https://h.example/', token: 'x' }, 'host', /host alone/],
    [{ kind: 'https_token', host: 'user@h.example', token: 'x' }, 'host', /host alone/],
    [{ kind: 'https_token', host: 'h example', token: 'x' }, 'host', /spaces/],
    [{ kind: 'https_token', generate: true, host: 'h.example' }, 'generate', /makes keys/],
    [{ generate: true, path: 'acme' }, 'path', /needs a host/],
    [{ generate: true, private_key: 'x' }, 'private_key', /does not belong/],
    [{ kind: 'ssh_key', private_key: 'not a key' }, 'private_key', /private key of OpenSSH/],
    [{ kind: 'ssh_key', private_key: locked.private_key }, 'private_key', /no passphrase/],
  ]
  for (const [body, field, message] of cases) {
    const answer = await app.send(root, 'POST', url, body)
    t.equal(answer.status, 400, JSON.stringify(answer.body))
    t.match(answer.body.details, [{ field, message }])
    t.notMatch(answer.text, 'not a key')
  }
})

test('a repository gets the credential that names it most closely, and no other host gets any', async (t) => {
  const row = (
    id: string,
    kind: GitCredentialRow['kind'],
    host: string | null,
    path: string | null = null,
  ): GitCredentialRow => ({
    id,
    kind,
    host,
    path,
    project_id: 'p',
    name: id,
    username: null,
    public_key: null,
    secret_sealed: '',
    created_by: { kind: 'session', user_id: null, token_id: null, name: 'x' },
    created_at: '',
    last_used_at: null,
  })
  const rows = [
    row('1-any', 'ssh_key', null),
    row('2-host', 'ssh_key', 'git.example'),
    row('3-owner', 'ssh_key', 'git.example', 'acme'),
    row('4-repository', 'ssh_key', 'git.example', 'acme/shop'),
    row('5-older', 'https_token', 'git.example'),
    row('6-newer', 'https_token', 'git.example'),
  ]
  const chosen = (url: string): string | undefined => chooseCredential(rows, readRepositoryUrl(url, true))?.id
  t.equal(chosen('git@git.example:acme/shop.git'), '4-repository')
  t.equal(chosen('ssh://git@git.example/acme/shop/'), '4-repository')
  t.equal(chosen('git@git.example:acme/shop-2.git'), '3-owner')
  t.equal(chosen('git@git.example:acmes/shop.git'), '2-host')
  t.equal(chosen('ssh://git@git.example:2222/acme/shop.git'), '1-any', 'another port is another host')
  t.equal(chosen('https://git.example/acme/shop'), '6-newer')
  t.equal(chosen('https://git.example:8443/acme/shop'), undefined)
  t.equal(chosen('https://git.example.evil/acme/shop'), undefined)
})
