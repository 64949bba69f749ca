import { test } from 'tap'
import { readGitRef } from '../../src/lib/git-ref.ts'
import { hostLabel, readRepositoryUrl, readSubmoduleUrl } from '../../src/lib/repository-url.ts'

test('URLs of repositories are normalised', async (t) => {
  const cases: [given: string, text: string, host: string][] = [
    ['https://Git.Example.com/acme/shop.git', 'https://git.example.com/acme/shop.git', 'git.example.com'],
    ['https://git.example.com:443/a', 'https://git.example.com/a', 'git.example.com'],
    ['https://git.example.com:8443/a', 'https://git.example.com:8443/a', 'git.example.com:8443'],
    ['https://[2001:db8::1]/a', 'https://[2001:db8::1]/a', '[2001:db8::1]'],
    ['ssh://git.example.com/a/b', 'ssh://git@git.example.com/a/b', 'git.example.com'],
    ['ssh://me@git.example.com:2222/~/a', 'ssh://me@git.example.com:2222/~/a', 'git.example.com:2222'],
    ['git@git.example.com:acme/shop.git', 'git@git.example.com:acme/shop.git', 'git.example.com'],
  ]
  for (const [given, text, host] of cases) {
    const url = readRepositoryUrl(given, false)
    t.same([url.text, hostLabel(url)], [text, host], given)
  }
})

test('whatever is no such URL is refused', async (t) => {
  const bad = [
    '',
    '-uhttps://x/y',
    '--upload-pack=id',
    'ext::sh -c id',
    'ext::sh',
    'fd::7/foo',
    'file:///etc/passwd',
    '/etc/passwd',
    './x',
    'host:path',
    'git://host/x',
    'ftp://host/x',
    'https://',
    'https://host',
    'https://host/',
    'https://user:pass@host/x',
    'https://token@host/x',
    'https://host/x?y',
    'https://host/x#y',
    'https://host/x y',
    'https://host/x\ny',
    'https://ho_st/x',
    'https://-host/x',
    'ssh://-oProxyCommand=id/x',
    'ssh://git:pw@host/x',
    'ssh://-l@host/x',
    'git@-oProxyCommand=id:x',
    'git@host:-x',
    'a b@host:x',
    'git@host:x\\y',
    'https://host:0/x',
    'http://host/x',
  ]
  for (const text of bad) t.throws(() => readRepositoryUrl(text, false), { name: 'BadRepositoryUrl' }, text)
  t.equal(readRepositoryUrl('http://host/x', true).protocol, 'http')
})

test('URLs of submodules may be relative, within their host', async (t) => {
  const of = (text: string, parent = 'https://h.example/acme/shop.git'): string =>
    readSubmoduleUrl(text, readRepositoryUrl(parent, false), false).text
  t.equal(of('../lib.git'), 'https://h.example/acme/lib.git')
  t.equal(of('../../other/lib'), 'https://h.example/other/lib')
  t.equal(of('./sub'), 'https://h.example/acme/shop.git/sub')
  t.equal(of('../lib.git', 'git@h.example:acme/shop.git'), 'git@h.example:acme/lib.git')
  t.equal(of('https://other.example/x'), 'https://other.example/x')
  for (const text of ['../../../x', '../../../../x', '/x', 'ext::sh', '-x', '../-x y'])
    t.throws(() => of(text), { name: 'BadRepositoryUrl' }, text)
})

test('refs are read as git reads them', async (t) => {
  t.same(readGitRef(null), { kind: 'default' })
  t.same(readGitRef('HEAD'), { kind: 'default' })
  t.same(readGitRef('main'), { kind: 'name', name: 'main' })
  t.same(readGitRef('feature/a-b_c.1'), { kind: 'name', name: 'feature/a-b_c.1' })
  t.same(readGitRef('refs/pull/7/head'), { kind: 'full', name: 'refs/pull/7/head' })
  t.same(readGitRef('a'.repeat(40)), { kind: 'commit', commit: 'a'.repeat(40) })
  const bad = [
    '-x',
    '--upload-pack=x',
    'a..b',
    'a b',
    'a~1',
    'a^',
    'a:b',
    'a*',
    'a?',
    'a[',
    'a\\b',
    'a@{1}',
    '@',
    '.a',
    'a/.b',
    'a.lock',
    'a/',
    '/a',
    'a//b',
    'a.',
    'a\u0000',
    'x'.repeat(256),
  ]
  for (const text of bad) t.equal(readGitRef(text), undefined, JSON.stringify(text))
})
