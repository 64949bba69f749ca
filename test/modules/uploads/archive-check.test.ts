import { test } from 'tap'
import { ArchiveCheck, type ArchiveLimits } from '../../../src/lib/archive-check.ts'
import { SPARSE } from '../../../src/lib/archive-error.ts'
import { AppError } from '../../../src/lib/errors.ts'
import {
  directory,
  END,
  file,
  gnuLong,
  hardlink,
  header,
  inPieces,
  padded,
  pax,
  symlink,
  tar,
} from './tar-fixture.ts'

const LIMITS: ArchiveLimits = { maxBytes: 64 * 1024 ** 2, maxEntries: 500 }

async function check(
  archive: Buffer,
  limits: Partial<ArchiveLimits> = {},
  pieces = 1 << 20,
  packed?: () => number,
) {
  const check = new ArchiveCheck({ ...LIMITS, ...limits }, packed)
  const names: string[] = []
  for await (const piece of inPieces(archive, pieces)) {
    for (const event of check.push(piece)) if (event.placed) names.push(event.placed.path.join('/'))
  }
  return { ...(await check.end()), names }
}

/** What is refused; the first word is the code, then what the client is told. */
const REFUSED: [title: string, archive: Buffer, said: string, limits?: Partial<ArchiveLimits>][] = [
  ['an absolute path', tar(file('/etc/passwd')), 'BAD_ARCHIVE /etc/passwd: its path is absolute'],
  ['a path that climbs out', tar(file('../x')), 'BAD_ARCHIVE ../x: there is ".." in a path'],
  ['a path that climbs inside', tar(file('a/../b')), 'BAD_ARCHIVE a/../b: there is ".." in a path'],
  [
    'a pax path that climbs out',
    tar(pax({ path: 'a/../../x' }), file('ok')),
    'BAD_ARCHIVE a/../../x: there is ".." in a path',
  ],
  [
    'a GNU long name that climbs out',
    tar(gnuLong('L', '../x'), file('ok')),
    'BAD_ARCHIVE ../x: there is ".." in a path',
  ],
  [
    'a prefix that climbs out',
    tar(file('x', '', { prefix: '..' })),
    'BAD_ARCHIVE ../x: there is ".." in a path',
  ],
  ['a NUL in a pax path', tar(pax({ path: 'a\0b' }), file('ok')), 'BAD_ARCHIVE a\\u{0}b: a NUL in a path'],
  [
    'a name that is not UTF-8',
    tar(header({ name: Buffer.from([0x61, 0xff]) })),
    'BAD_ARCHIVE a�: its name is not valid UTF-8',
  ],
  ['an entry without a name', tar(file('')), 'BAD_ARCHIVE : it has no name'],
  ['a file for the root', tar(file('.')), 'BAD_ARCHIVE .: it has no name'],
  [
    'a symlink to an absolute path',
    tar(symlink('a', '/etc')),
    'BAD_ARCHIVE a: it links to the absolute path "/etc"',
  ],
  [
    'a symlink out',
    tar(symlink('a', '..')),
    'BAD_ARCHIVE a: it links to "..", which leads out of the archive',
  ],
  [
    'a symlink out from a folder',
    tar(directory('d/'), symlink('d/a', '../../x')),
    'BAD_ARCHIVE d/a: it links to "../../x", which leads out of the archive',
  ],
  ['a symlink to nothing', tar(symlink('a', '')), 'BAD_ARCHIVE a: a link to nothing'],
  [
    'a symlink out through another link',
    tar(directory('d/e/'), symlink('d/e/up', '..'), symlink('x', 'd/e/up/../..')),
    'BAD_ARCHIVE x: it links to "d/e/up/../..", which leads out of the archive',
  ],
  [
    'a symlink out through a link that comes later',
    tar(symlink('x', 'd/e/up/../..'), directory('d/e/'), symlink('d/e/up', '..')),
    'BAD_ARCHIVE x: it links to "d/e/up/../..", which leads out of the archive',
  ],
  [
    'a file below a symlink',
    tar(symlink('a', 'b'), file('a/x')),
    'BAD_ARCHIVE a/x: "a" in its path is a link',
  ],
  [
    'a folder below a symlink',
    tar(symlink('a', 'b'), directory('a/x/')),
    'BAD_ARCHIVE a/x/: "a" in its path is a link',
  ],
  ['a file below a file', tar(file('a'), file('a/x')), 'BAD_ARCHIVE a/x: "a" in its path is a file'],
  ['a file that comes twice', tar(file('a'), file('./a')), 'BAD_ARCHIVE ./a: it comes twice'],
  ['a file in place of a symlink', tar(symlink('a', 'b'), file('a')), 'BAD_ARCHIVE a: it comes twice'],
  [
    'a folder in place of a symlink',
    tar(symlink('a', 'b'), directory('a/')),
    'BAD_ARCHIVE a/: it comes twice',
  ],
  [
    'a symlink in place of a folder',
    tar(directory('a/'), symlink('a', 'b')),
    'BAD_ARCHIVE a: it comes twice',
  ],
  ['a link out', tar(hardlink('a', '../x')), 'BAD_ARCHIVE a: there is ".." in a path'],
  [
    'a link to an absolute path',
    tar(hardlink('a', '/etc/shadow')),
    'BAD_ARCHIVE a: it links to the absolute path "/etc/shadow"',
  ],
  [
    'a link to a symlink',
    tar(symlink('s', 'x'), hardlink('a', 's')),
    'BAD_ARCHIVE a: it is a link to "s", which is no file that came before it',
  ],
  [
    'a link through a symlink',
    tar(directory('d/'), file('d/f'), symlink('s', 'd'), hardlink('a', 's/f')),
    'BAD_ARCHIVE a: it is a link to "s/f", which is no file that came before it',
  ],
  [
    'a link to a file that comes later',
    tar(hardlink('a', 'f'), file('f')),
    'BAD_ARCHIVE a: it is a link to "f", which is no file that came before it',
  ],
  [
    'a character device',
    tar(header({ name: 'null', type: '3' })),
    'BAD_ARCHIVE null: character devices are not accepted',
  ],
  [
    'a block device',
    tar(header({ name: 'sda', type: '4' })),
    'BAD_ARCHIVE sda: block devices are not accepted',
  ],
  [
    'a named pipe',
    tar(header({ name: 'pipe', type: '6' })),
    'BAD_ARCHIVE pipe: named pipes are not accepted',
  ],
  ['a GNU sparse file', tar(header({ name: 's', type: 'S' })), `BAD_ARCHIVE s: ${SPARSE}`],
  ['a pax sparse file', tar(pax({ 'GNU.sparse.major': '1' }), file('s')), `BAD_ARCHIVE s: ${SPARSE}`],
  [
    'an unknown type',
    tar(header({ name: 'q', type: 'Q' })),
    'BAD_ARCHIVE q: entries of type "Q" are not supported',
  ],
  [
    'a negative size',
    tar(header({ rawSize: Buffer.alloc(12, 0xff) })),
    'BAD_ARCHIVE file: its size is not valid',
  ],
  [
    'a size beyond all numbers',
    tar(header({ rawSize: Buffer.from([0x80, 0x7f, ...Array<number>(10).fill(0xff)]) })),
    'BAD_ARCHIVE file: its size is not valid',
  ],
  [
    'a size that is no number',
    tar(header({ rawSize: Buffer.from('12x45678901\0') })),
    'BAD_ARCHIVE file: its size is not valid',
  ],
  [
    'a pax size that is negative',
    tar(pax({ size: '-1' }), file('f')),
    'BAD_ARCHIVE f: its size is not valid',
  ],
  [
    'a pax size beyond all numbers',
    tar(pax({ size: '9999999999999999' }), file('f')),
    'BAD_ARCHIVE f: its size is not valid',
  ],
  [
    'a link with contents',
    tar(header({ name: 'l', type: '2', linkname: 'x', size: 3 })),
    'BAD_ARCHIVE l: a symlink with contents',
  ],
  [
    'a folder with contents',
    tar(file('d/', 'abc', { type: '5' })),
    'BAD_ARCHIVE d/: a directory with contents',
  ],
  [
    'a wrong checksum',
    tar(file('a', '', { breakChecksum: true })),
    'BAD_ARCHIVE this is not a tar archive, or it is damaged',
  ],
  ['something else', Buffer.alloc(4096, 'x'), 'BAD_ARCHIVE this is not a tar archive, or it is damaged'],
  ['an empty body', Buffer.alloc(0), 'BAD_ARCHIVE the archive is cut short'],
  ['an archive of nothing', tar(), 'BAD_ARCHIVE there is nothing in it'],
  ['an archive of only the root', tar(directory('./')), 'BAD_ARCHIVE there is nothing in it'],
  ['an archive cut between entries', file('a', 'abc'), 'BAD_ARCHIVE the archive is cut short'],
  ['an archive cut in a header', file('a', 'abc').subarray(0, 300), 'BAD_ARCHIVE the archive is cut short'],
  ['an archive cut in contents', file('a', 'abc').subarray(0, 513), 'BAD_ARCHIVE the archive is cut short'],
  [
    'garbage behind the end',
    Buffer.concat([tar(file('a')), Buffer.from('x')]),
    'BAD_ARCHIVE there is something behind its end',
  ],
  [
    'an archive behind the end',
    Buffer.concat([tar(file('a')), tar(file('b'))]),
    'BAD_ARCHIVE there is something behind its end',
  ],
  [
    'a pax header of absurd size',
    tar(header({ name: 'P', type: 'x', size: 2 ** 32 })),
    'BAD_ARCHIVE P: an extended header of 4294967296 bytes (at most 262144)',
  ],
  [
    'a GNU name of absurd size',
    tar(header({ name: 'P', type: 'L', size: 2 ** 20 })),
    'BAD_ARCHIVE P: an extended header of 1048576 bytes (at most 8192)',
  ],
  [
    'a damaged pax header',
    tar(file('P', '99 path=x\n', { type: 'x' }), file('a')),
    'BAD_ARCHIVE an extended header is damaged',
  ],
  [
    'a pax record of no length',
    tar(file('P', '0 path=x\n', { type: 'x' }), file('a')),
    'BAD_ARCHIVE an extended header is damaged',
  ],
  [
    'two pax headers for one entry',
    tar(pax({ path: 'a' }), pax({ path: 'b' }), file('c')),
    'BAD_ARCHIVE two extended headers describe one entry',
  ],
  [
    'two kinds of names for one entry',
    tar(gnuLong('L', 'a'), pax({ path: 'b' }), file('c')),
    'BAD_ARCHIVE a: both a GNU and a pax header name it',
  ],
  [
    'an end behind an extended header',
    tar(file('a'), pax({ path: 'b' })),
    'BAD_ARCHIVE it ends behind an extended header',
  ],
  [
    'a global header that renames',
    tar(pax({ path: 'b' }, 'g'), file('a')),
    'BAD_ARCHIVE a global header sets "path" for all entries',
  ],
  [
    'a path that is too long',
    tar(pax({ path: 'a/'.repeat(90) + 'b'.repeat(250) + '/'.repeat(2000) + 'c' }), file('a')),
    'BAD_ARCHIVE a path of more than 2048 bytes',
  ],
  [
    'a name that is too long',
    tar(pax({ path: 'b'.repeat(256) }), file('a')),
    'BAD_ARCHIVE a name of more than 255 bytes',
  ],
  [
    'too many folders in each other',
    tar(pax({ path: 'a/'.repeat(101) }), directory('d/')),
    'BAD_ARCHIVE more than 100 folders deep',
  ],
  [
    'too many entries',
    tar(...Array.from({ length: 11 }, (_, index) => file(`f${index}`))),
    'PAYLOAD_TOO_LARGE more than 10 files and folders',
    { maxEntries: 10 },
  ],
  [
    'too many folders that are only implied',
    tar(file('a/b/c/d/e/f/g/h/i/j/k')),
    'PAYLOAD_TOO_LARGE more than 10 files and folders',
    { maxEntries: 10 },
  ],
  [
    'the same folder over and over',
    tar(...Array.from({ length: 11 }, () => directory('d/'))),
    'PAYLOAD_TOO_LARGE more than 10 files and folders',
    { maxEntries: 10 },
  ],
  [
    'names that take too much room',
    tar(
      ...Array.from({ length: 10 }, (_, index) =>
        Buffer.concat([pax({ linkpath: 'x'.repeat(250) }), symlink(`f${index}`, 'x')]),
      ),
    ),
    'BAD_ARCHIVE the names take too much room',
    { maxEntries: 10 },
  ],
  [
    'too many bytes',
    tar(file('a', Buffer.alloc(4096))),
    'PAYLOAD_TOO_LARGE more than 4096 bytes unpacked',
    { maxBytes: 4096 },
  ],
  [
    'a file that announces too many bytes',
    header({ name: 'a', size: 2 ** 30 }),
    'PAYLOAD_TOO_LARGE more than 67108864 bytes unpacked',
  ],
  [
    'a chain of links',
    tar(...Array.from({ length: 60 }, (_, index) => symlink(`l${index}`, `l${index + 1}`))),
    'BAD_ARCHIVE it leads through more than 40 links',
  ],
]

for (const [title, archive, said, limits] of REFUSED) {
  test(`refused: ${title}`, async (t) => {
    for (const pieces of [1 << 20, 7]) {
      const error = await check(archive, limits, pieces).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (!(error instanceof AppError)) throw new Error('it was accepted', { cause: error })
      const [detail] = error.details ?? []
      const told = [detail?.field, detail?.message].filter((part) => part !== undefined).join(': ')
      // Of very long names only the problem is compared.
      const [code = '', ...rest] = said.split(' ')
      t.match({ code: error.code, told }, { code, told: new RegExp(`${RegExp.escape(rest.join(' '))}$`) })
    }
  })
}

/** What is taken, and the names that come out. */
const ACCEPTED: [title: string, archive: Buffer, names: string[]][] = [
  [
    'files and folders',
    tar(directory('./'), directory('./a/'), file('./a/b', 'abc'), file('c//d')),
    ['', 'a', 'a/b', 'c/d'],
  ],
  ['a folder that was implied before', tar(file('a/b'), directory('a/')), ['a/b', 'a']],
  ['a folder that is told twice', tar(directory('a/'), directory('a/')), ['a', 'a']],
  [
    'an archive older than POSIX',
    tar(file('d/', '', { magic: 'none' }), file('d/f', 'x', { magic: 'none', type: '\0' })),
    ['d', 'd/f'],
  ],
  [
    'a long name by prefix',
    tar(file('x'.repeat(90), '', { prefix: 'p/'.repeat(40).slice(0, -1) })),
    [`${'p/'.repeat(40)}${'x'.repeat(90)}`],
  ],
  ['a long name by pax', tar(pax({ path: `d/${'x'.repeat(200)}` }), file('short')), [`d/${'x'.repeat(200)}`]],
  ['a long name by GNU', tar(gnuLong('L', `d/${'ü'.repeat(100)}`), file('short')), [`d/${'ü'.repeat(100)}`]],
  ['a long link by GNU', tar(gnuLong('K', 'y'.repeat(200)), symlink('l', 'short')), ['l']],
  ['a size by pax', tar(pax({ size: '3' }), header({ name: 'f', size: 0 }), padded('abc')), ['f']],
  [
    'a size in base 256',
    tar(header({ name: 'f', rawSize: Buffer.from([0x80, ...Array<number>(10).fill(0), 3]) }), padded('abc')),
    ['f'],
  ],
  ['a global header with a comment', tar(pax({ comment: 'abcdef' }, 'g'), file('f')), ['f']],
  [
    'attributes that mean nothing here',
    tar(pax({ 'SCHILY.xattr.user.x': 'y', mtime: '1.5' }), file('f')),
    ['f'],
  ],
  [
    'links inside',
    tar(file('a/f'), symlink('a/s', '../b/./g'), symlink('top', 'a/../a'), hardlink('h', 'a/f')),
    ['a/f', 'a/s', 'top', 'h'],
  ],
  [
    'links in a circle',
    tar(symlink('a', 'b/x'), symlink('b', 'a/x'), symlink('self', 'self')),
    ['a', 'b', 'self'],
  ],
  ['a single end block', Buffer.concat([file('f'), Buffer.alloc(512)]), ['f']],
  ['a record filled with zeros', Buffer.concat([tar(file('f')), Buffer.alloc(9000)]), ['f']],
  ['a colon, a space and a line break in names', tar(file('a:b c\nd')), ['a:b c\nd']],
]

for (const [title, archive, names] of ACCEPTED) {
  test(`accepted: ${title}`, async (t) => {
    for (const pieces of [1 << 20, 511, 1]) t.same((await check(archive, {}, pieces)).names, names)
  })
}

test('what is counted is entries, implied folders, and the bytes of files', async (t) => {
  const { entries, unpacked_bytes } = await check(
    tar(file('a/b/c', 'x'.repeat(700)), symlink('s', 'a'), hardlink('h', 'a/b/c')),
  )
  t.same({ entries, unpacked_bytes }, { entries: 5, unpacked_bytes: 700 })
})

test('a stream that grows out of proportion to what was received is refused', async (t) => {
  const zeros = Buffer.alloc(1 << 20)
  const check = new ArchiveCheck({ maxBytes: 2 ** 40, maxEntries: 10 }, () => 1000)
  const run = (): void => {
    for (const _ of check.push(header({ name: 'zeros', size: 2 ** 34 }))) continue
    for (let mib = 0; mib < 300; mib += 1) for (const _ of check.push(zeros)) continue
  }
  t.throws(run, { code: 'BAD_ARCHIVE', message: /more than 500 times its size/ })
})

test('a web of many links through each other is followed in time that is linear', async (t) => {
  const depth = Array.from({ length: 30 }, (_, index) =>
    symlink(`l${index}`, index === 29 ? '.' : `l${index + 1}/`.repeat(20)),
  )
  const many = Array.from({ length: 300 }, (_, index) => symlink(`m${index}`, 'l0/l0/l0/l0'))
  t.equal((await check(tar(...many, ...depth))).entries, 330)
})

test('the end mark alone is not enough padding to hide an entry', async (t) => {
  await t.rejects(check(Buffer.concat([file('a'), END.subarray(0, 512), file('b'), END])), {
    code: 'BAD_ARCHIVE',
  })
})
