import { test } from 'tap'
import { isDigest, isTag, parseRegistryPath } from '../../../src/modules/registry/registry-path.ts'
import { parseScope } from '../../../src/modules/registry/token-operations.ts'
import { parseChunkRange, parseRange } from '../../../src/modules/registry/byte-range.ts'
import { matchesPattern } from '../../../src/modules/registry/tag-pattern.ts'
import { readBasic } from '../../../src/modules/registry/registry-auth.ts'

const SHA = `sha256:${'a'.repeat(64)}`

test('paths are read from the right, whatever words a name holds', async (t) => {
  const table: [path: string, expected: object][] = [
    ['/v2', { kind: 'base' }],
    ['/v2/', { kind: 'base' }],
    ['/v2/token', { kind: 'token' }],
    ['/v2/_catalog', { kind: 'catalog' }],
    ['/v2/p/s/tags/list', { kind: 'tags', name: 'p/s' }],
    ['/v2/p/tags/list/tags/list', { kind: 'tags', name: 'p/tags/list' }],
    ['/v2/p/s/manifests/v1', { kind: 'manifest', name: 'p/s', reference: 'v1' }],
    [
      '/v2/p/manifests/manifests/manifests',
      { kind: 'manifest', name: 'p/manifests', reference: 'manifests' },
    ],
    [`/v2/p/s/manifests/${SHA}`, { kind: 'manifest', name: 'p/s', reference: SHA }],
    [`/v2/p/s/blobs/${SHA.replace(':', '%3A')}`, { kind: 'blob', name: 'p/s', digest: SHA }],
    ['/v2/p/s/blobs/uploads', { kind: 'uploads', name: 'p/s' }],
    ['/v2/p/s/blobs/uploads/', { kind: 'uploads', name: 'p/s' }],
    ['/v2/p/s/blobs/uploads/123', { kind: 'upload', name: 'p/s', id: '123' }],
    ['/v2/p/blobs/uploads/blobs/uploads/1', { kind: 'upload', name: 'p/blobs/uploads', id: '1' }],
    [`/v2/p/blobs/uploads/blobs/${SHA}`, { kind: 'blob', name: 'p/blobs/uploads', digest: SHA }],
    [`/v2/p/s/referrers/${SHA}`, { kind: 'referrers', name: 'p/s', digest: SHA }],
    ['/v2/p/UP/tags/list', { kind: 'bad_name', name: 'p/UP' }],
    ['/v2/p/a..b/tags/list', { kind: 'bad_name', name: 'p/a..b' }],
    ['/v2//tags/list', { kind: 'bad_name', name: '' }],
    ['/v2/p/../s/tags/list', { kind: 'bad_name', name: 'p/../s' }],
    [`/v2/${'a'.repeat(256)}/tags/list`, { kind: 'bad_name', name: 'a'.repeat(256) }],
    ['/v2/p/s', { kind: 'unknown' }],
    ['/v2/%zz', { kind: 'unknown' }],
    ['/v3/', { kind: 'unknown' }],
  ]
  for (const [path, expected] of table) t.same(parseRegistryPath(path), expected, path)
})

test('tags and digests keep to the grammar', async (t) => {
  for (const good of ['v1', '_x', 'A.b-c', 'a'.repeat(128)]) t.ok(isTag(good), good)
  for (const bad of ['', '.x', '-x', 'a:b', 'a/b', 'a'.repeat(129)]) t.notOk(isTag(bad), bad)
  for (const good of [SHA, `sha512:${'0'.repeat(128)}`]) t.ok(isDigest(good))
  for (const bad of [
    '',
    ':',
    'sha256:',
    SHA.toUpperCase(),
    `${SHA}a`,
    `md5:${'a'.repeat(32)}`,
    SHA.slice(0, -1),
  ])
    t.notOk(isDigest(bad), bad)
})

test('scopes are split at the last colon', async (t) => {
  t.same(parseScope('repository:p/s:pull,push'), { name: 'p/s', actions: ['pull', 'push'] })
  t.same(parseScope('repository:p/s:*'), { name: 'p/s', actions: ['pull', 'push', 'delete'] })
  t.same(parseScope('repository(plugin):p/s:pull'), { name: 'p/s', actions: ['pull'] })
  t.same(parseScope('repository:p/s:fly'), { name: 'p/s', actions: [] })
  for (const bad of ['registry:catalog:*', 'repository:host:5000/p/s:pull', 'repository:p', '', ':::'])
    t.equal(parseScope(bad), undefined, bad)
})

test('ranges', async (t) => {
  t.same(parseRange('bytes=2-5', 10), { start: 2, end: 6 })
  t.same(parseRange('bytes=-3', 10), { start: 7, end: 10 })
  t.same(parseRange('bytes=4-', 10), { start: 4, end: 10 })
  for (const header of ['bytes=10-', 'bytes=5-4', 'bytes=-0'])
    t.equal(parseRange(header, 10), 'unsatisfiable')
  for (const header of [undefined, 'bytes=-', 'lines=1-2', 'bytes=0-1,3-4'])
    t.equal(parseRange(header, 10), undefined)
  t.same(parseChunkRange('0-9'), { start: 0, last: 9 })
  t.same(parseChunkRange('bytes 0-9/20'), { start: 0, last: 9 })
  t.equal(parseChunkRange('9'), undefined)
})

test('patterns match whole texts, in a time that no pattern can stretch', async (t) => {
  for (const [pattern, text] of [
    ['*', ''],
    ['v*', 'v1'],
    ['v*.*', 'v1.2'],
    ['*-rc*', 'v1-rc2'],
    ['a', 'a'],
  ] as const)
    t.ok(matchesPattern(pattern, text), `${pattern} ${text}`)
  for (const [pattern, text] of [
    ['v*', 'xv1'],
    ['', 'a'],
    ['a*b', 'abc'],
  ] as const)
    t.notOk(matchesPattern(pattern, text), `${pattern} ${text}`)
  t.notOk(matchesPattern(`${'*a'.repeat(60)}b`, 'a'.repeat(128)))
})

test('Basic credentials may hold colons in the password', async (t) => {
  const header = `Basic ${Buffer.from('me:a:b').toString('base64')}`
  t.same(readBasic(header), { username: 'me', password: 'a:b' })
  t.equal(readBasic('Basic !!!'), undefined)
  t.equal(readBasic(undefined), undefined)
})
