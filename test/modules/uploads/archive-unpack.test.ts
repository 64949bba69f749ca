import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { zstdCompressSync } from 'node:zlib'
import type { ArchiveLimits, ArchiveSummary } from '../../../src/lib/archive-check.ts'
import { type UnpackOptions, unpackArchive } from '../../../src/lib/archive-unpack.ts'
import { directory, file, hardlink, header, inPieces, pax, symlink, tar, tarZst } from './tar-fixture.ts'

const LIMITS: ArchiveLimits = { maxBytes: 256 * 1024 ** 2, maxEntries: 50_000 }

function makeRoot(t: Test): string {
  const root = mkdtempSync(join(tmpdir(), 'berth-unpack-'))
  t.teardown(() => execFileSync('rm', ['-rf', root]))
  return root
}

async function unpack(
  archive: Buffer,
  into: string,
  options: Partial<UnpackOptions> & { packed?: boolean } = {},
): Promise<ArchiveSummary> {
  const format = options.packed === true ? 'tar.zst' : 'tar'
  return unpackArchive(inPieces(archive, 4000), format, into, LIMITS, {
    signal: new AbortController().signal,
    ...options,
  })
}

/** Every path below a folder with its kind, mode and contents. */
function listing(root: string): Record<string, string> {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).toSorted()
  return Object.fromEntries(
    names.map((name) => {
      const path = join(root, name)
      const info = lstatSync(path)
      if (info.isSymbolicLink()) return [name, `-> ${readlinkSync(path)}`]
      const mode = (info.mode & 0o7777).toString(8)
      return [name, info.isDirectory() ? `${mode} folder` : `${mode} ${readFileSync(path, 'utf8')}`]
    }),
  )
}

test('files, folders and links come out with their contents, modes and times', async (t) => {
  const root = join(makeRoot(t), 'out')
  const old = process.umask(0o077)
  t.teardown(() => process.umask(old))
  const summary = await unpack(
    tarZst(
      directory('./'),
      symlink('first', 'deep/a'),
      file('deep/a', 'hello', { mode: 0o664, mtime: 1_000_000_000 }),
      directory('shut/', { mode: 0o555, mtime: 1_100_000_000 }),
      file('shut/run', '#!/bin/sh', { mode: 0o755 }),
      hardlink('again', 'deep/a'),
      file('empty'),
      file('large', 'x'.repeat(300_000)),
    ),
    root,
    { packed: true },
  )
  t.same(listing(root), {
    again: '664 hello',
    deep: '755 folder',
    'deep/a': '664 hello',
    empty: '644 ',
    first: '-> deep/a',
    large: `644 ${'x'.repeat(300_000)}`,
    shut: '755 folder',
    'shut/run': '755 #!/bin/sh',
  })
  t.equal(lstatSync(join(root, 'deep/a')).mtimeMs, 1_000_000_000_000)
  t.equal(lstatSync(join(root, 'shut')).mtimeMs, 1_100_000_000_000)
  t.equal(lstatSync(join(root, 'again')).ino, lstatSync(join(root, 'deep/a')).ino)
  t.equal(lstatSync(root).mode & 0o777, 0o700, 'nobody else looks in')
  t.same(summary, { entries: 8, unpacked_bytes: 300_014 })
})

test('times that no file system has are brought to those that it has', async (t) => {
  const root = join(makeRoot(t), 'out')
  const times = ['1e300', '1e20', '-1e300', '253402300800']
  await unpack(tarZst(...times.flatMap((mtime) => [pax({ mtime }), file(mtime, 'x')])), root, {
    packed: true,
  })
  t.same(readdirSync(root).toSorted(), times.toSorted())
  t.equal(lstatSync(join(root, '-1e300')).mtimeMs, 0)
})

test('setuid, setgid and sticky bits are dropped and the owner may always read and write', async (t) => {
  const root = join(makeRoot(t), 'out')
  await unpack(
    tar(
      file('su', '', { mode: 0o6755 }),
      file('none', '', { mode: 0o7000 }),
      directory('d/', { mode: 0o1777 }),
    ),
    root,
  )
  t.same(listing(root), { d: '777 folder', none: '600 ', su: '755 ' })
})

test('what was there before is gone, and links in it are not followed', async (t) => {
  const base = makeRoot(t)
  const root = join(base, 'out')
  const outside = join(base, 'outside')
  mkdirSync(outside)
  writeFileSync(join(outside, 'keep'), 'mine')
  mkdirSync(join(root, 'shut'), { recursive: true })
  symlinkSync(outside, join(root, 'a'))
  chmodSync(join(root, 'shut'), 0o500)
  const archive = tar(file('a/keep', 'theirs'))
  await unpack(archive, root)
  await unpack(archive, root)
  t.same(listing(root), { a: '755 folder', 'a/keep': '644 theirs' })
  t.equal(readFileSync(join(outside, 'keep'), 'utf8'), 'mine')
})

test('nothing is written outside by an archive that would, even when it is refused late', async (t) => {
  const base = makeRoot(t)
  const root = join(base, 'out')
  await t.rejects(
    unpack(
      tar(symlink('x', 'd/e/up/../..'), directory('d/e/'), symlink('d/e/up', '..'), file('d/ok', 'ok')),
      root,
    ),
    {
      code: 'BAD_ARCHIVE',
    },
  )
  await t.rejects(unpack(tar(symlink('a', 'b'), directory('b/'), file('a/x', 'x')), root), {
    code: 'BAD_ARCHIVE',
  })
  t.same(readdirSync(base), ['out'])
  t.same(listing(root), { b: '700 folder' }, 'no link was made')
})

test('a truncated archive is refused although most of it was unpacked', async (t) => {
  const root = join(makeRoot(t), 'out')
  const whole = tarZst(file('a', 'x'.repeat(100)), file('b', 'y'.repeat(1000)))
  await t.rejects(unpack(whole.subarray(0, whole.length - 3), root, { packed: true }), {
    code: 'BAD_ARCHIVE',
  })
})

test('an abort ends it with its reason', async (t) => {
  const root = join(makeRoot(t), 'out')
  const abort = new AbortController()
  const archive = tar(...Array.from({ length: 5000 }, (_, index) => file(`f${index}`, 'x')))
  const source = async function* (): AsyncGenerator<Buffer, void, undefined> {
    yield archive.subarray(0, 51_200)
    abort.abort(new Error('cancelled'))
    yield archive.subarray(51_200)
  }
  await t.rejects(unpackArchive(source(), 'tar', root, LIMITS, { signal: abort.signal }), {
    message: 'cancelled',
  })
  t.ok(readdirSync(root).length < 5000)
})

test('progress is told on the way and at the end', async (t) => {
  const root = join(makeRoot(t), 'out')
  const told: number[] = []
  const big = Buffer.alloc(20 * 1024 ** 2)
  await unpack(tar(file('a', big), file('b', big)), root, {
    onProgress: (summary) => told.push(summary.unpacked_bytes),
  })
  t.ok(told.length >= 2)
  t.equal(told.at(-1), 2 * big.length)
})

test('a full directory entry (ENOSPC and its like) comes out as the error of the system', async (t) => {
  const root = join(makeRoot(t), 'out')
  // The file system refuses the name before the archive check would: NAME_MAX counts bytes, as ours does, so a path is used.
  const source = async function* (): AsyncGenerator<Buffer, void, undefined> {
    yield header({ name: 'd/f', size: 1 })
    execFileSync('rm', ['-rf', root])
    yield tar(Buffer.concat([Buffer.from('x'), Buffer.alloc(511)]), file('d/g', 'x'))
  }
  await t.rejects(unpackArchive(source(), 'tar', root, LIMITS, { signal: new AbortController().signal }), {
    code: 'ENOENT',
  })
})

for (const format of ['v7', 'ustar', 'gnu', 'oldgnu', 'pax'] as const) {
  test(`what tar itself packs as ${format} comes out alike`, async (t) => {
    const base = makeRoot(t)
    const from = join(base, 'from')
    const deep = join(from, 'a'.repeat(40), 'b'.repeat(40))
    mkdirSync(deep, { recursive: true })
    writeFileSync(join(from, 'run'), 'x', { mode: 0o755 })
    if (format !== 'v7') writeFileSync(join(deep, 'ü'.repeat(40)), 'long name')
    if (format === 'gnu' || format === 'pax') writeFileSync(join(deep, 'c'.repeat(200)), 'longer name')
    symlinkSync(`${'a'.repeat(40)}/${'b'.repeat(40)}`, join(from, 'link'))
    execFileSync('ln', [join(from, 'run'), join(from, 'same')])
    const archive = execFileSync('tar', [`--format=${format}`, '-C', from, '-cf', '-', '.'], {
      maxBuffer: 1e8,
    })
    await unpack(zstdCompressSync(archive), join(base, 'out'), { packed: true })
    t.same(listing(join(base, 'out')), listing(from))
  })
}
