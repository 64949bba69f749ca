import { test } from 'tap'
import { constants, createZstdCompress, gzipSync, zstdCompressSync } from 'node:zlib'
import { buffer } from 'node:stream/consumers'
import { type ArchiveFormat, decodeArchive, sniffFormat } from '../../../src/lib/archive-decode.ts'
import { inPieces } from './tar-fixture.ts'

const ABC = Buffer.from('abc'.repeat(1000))
const NOISE = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * index * 31) % 251))
const SKIPPABLE = Buffer.concat([Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), Buffer.from('hello')])
const withChecksum = (bytes: Buffer): Buffer =>
  zstdCompressSync(bytes, {
    params: { [constants.ZSTD_c_checksumFlag]: 1, [constants.ZSTD_c_contentSizeFlag]: 0 },
  })

async function decode(format: ArchiveFormat, bytes: Buffer, pieces: number): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of decodeArchive(format, inPieces(bytes, pieces))) parts.push(part)
  return Buffer.concat(parts)
}

const DECODED: [title: string, format: ArchiveFormat, bytes: Buffer, plain: Buffer][] = [
  ['a tar', 'tar', ABC, ABC],
  ['a gzip member', 'tar.gz', gzipSync(ABC), ABC],
  [
    'several gzip members',
    'tar.gz',
    Buffer.concat([gzipSync(ABC), gzipSync(NOISE)]),
    Buffer.concat([ABC, NOISE]),
  ],
  ['a zstd frame', 'tar.zst', zstdCompressSync(NOISE), NOISE],
  ['a zstd frame with a checksum and no size', 'tar.zst', withChecksum(NOISE), NOISE],
  [
    'zstd frames in a row',
    'tar.zst',
    Buffer.concat([zstdCompressSync(ABC), withChecksum(NOISE), zstdCompressSync(ABC)]),
    Buffer.concat([ABC, NOISE, ABC]),
  ],
  [
    'skippable zstd frames',
    'tar.zst',
    Buffer.concat([SKIPPABLE, zstdCompressSync(ABC), SKIPPABLE, zstdCompressSync(ABC), SKIPPABLE]),
    Buffer.concat([ABC, ABC]),
  ],
  [
    'an empty zstd frame',
    'tar.zst',
    Buffer.concat([zstdCompressSync(Buffer.alloc(0)), zstdCompressSync(ABC)]),
    ABC,
  ],
  ['a run of one byte', 'tar.zst', zstdCompressSync(Buffer.alloc(500_000, 7)), Buffer.alloc(500_000, 7)],
]

for (const [title, format, bytes, plain] of DECODED) {
  test(`decoded whole, however it arrives: ${title}`, async (t) => {
    for (const pieces of [1 << 20, 997, ...(bytes.length < 5000 ? [1] : [])]) {
      t.ok((await decode(format, bytes, pieces)).equals(plain), `in pieces of ${pieces}`)
    }
  })
}

const frame = zstdCompressSync(ABC)
const REFUSED: [title: string, format: ArchiveFormat, bytes: Buffer, said: RegExp][] = [
  ['gzip that is cut', 'tar.gz', gzipSync(NOISE).subarray(0, -9), /gzip data is cut short/],
  ['nothing for gzip', 'tar.gz', Buffer.alloc(0), /gzip data is cut short/],
  [
    'gzip that is damaged',
    'tar.gz',
    Buffer.from(gzipSync(NOISE).map((byte, at) => (at === 30 ? byte ^ 255 : byte))),
    /gzip data is damaged/,
  ],
  [
    'garbage behind gzip',
    'tar.gz',
    Buffer.concat([gzipSync(ABC), Buffer.from('garbage')]),
    /gzip data is damaged|something behind/,
  ],
  [
    'zeros behind gzip',
    'tar.gz',
    Buffer.concat([gzipSync(ABC), Buffer.alloc(5000)]),
    /something behind the compressed data/,
  ],
  ['zstd that is cut', 'tar.zst', frame.subarray(0, -2), /zstd data is cut short/],
  ['zstd that is cut behind its magic', 'tar.zst', frame.subarray(0, 4), /zstd data is cut short/],
  ['zstd with only a skippable frame', 'tar.zst', SKIPPABLE, /zstd data is cut short/],
  ['nothing for zstd', 'tar.zst', Buffer.alloc(0), /zstd data is cut short/],
  [
    'zstd that is damaged',
    'tar.zst',
    Buffer.from(withChecksum(ABC).map((byte, at) => (at === 12 ? byte ^ 255 : byte))),
    /zstd data is damaged/,
  ],
  [
    'garbage behind zstd',
    'tar.zst',
    Buffer.concat([frame, Buffer.from('garbage')]),
    /something behind the zstd data/,
  ],
  ['a few bytes behind zstd', 'tar.zst', Buffer.concat([frame, Buffer.from('ab')]), /zstd data is cut short/],
  ['no zstd', 'tar.zst', ABC, /this is not zstd data/],
  [
    'a zstd dictionary',
    'tar.zst',
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x01, 0x58, 7, 0, 0, 0]),
    /needs a dictionary/,
  ],
  [
    'a second frame with a huge window',
    'tar.zst',
    Buffer.concat([frame, Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0])]),
    /window of 2048 MiB, at most 128 MiB/,
  ],
]

for (const [title, format, bytes, said] of REFUSED) {
  test(`refused: ${title}`, async (t) => {
    for (const pieces of [1 << 20, 13])
      await t.rejects(decode(format, bytes, pieces), { code: 'BAD_ARCHIVE', message: said })
  })
}

test('a window of 128 MiB is taken and one of 256 MiB is refused before memory is taken for it', async (t) => {
  const compress = async (windowLog: number): Promise<Buffer> => {
    const stream = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: windowLog } })
    stream.end(ABC)
    return buffer(stream)
  }
  t.ok((await decode('tar.zst', await compress(27), 1 << 20)).equals(ABC))
  await t.rejects(decode('tar.zst', await compress(28), 1 << 20), { message: /a window of 256 MiB/ })
})

test('an error of the source comes out as it is', async (t) => {
  const broken = async function* (): AsyncGenerator<Buffer, void, undefined> {
    yield frame.subarray(0, 5)
    throw new Error('the disk broke')
  }
  for (const format of ['tar', 'tar.zst'] as const) {
    await t.rejects(buffer(decodeArchive(format, broken())), { message: 'the disk broke' })
  }
})

test('what leaves early stops the source', async (t) => {
  for (const format of ['tar', 'tar.gz', 'tar.zst'] as const) {
    const packed = { tar: NOISE, 'tar.gz': gzipSync(NOISE), 'tar.zst': zstdCompressSync(NOISE) }[format]
    let stopped: () => void = () => {}
    const over = new Promise<void>((resolve) => (stopped = resolve))
    const endless = async function* (): AsyncGenerator<Buffer, void, undefined> {
      try {
        for (;;) yield packed
      } finally {
        stopped()
      }
    }
    for await (const _ of decodeArchive(format, endless())) break
    await over
    t.pass(format)
  }
})

test('a body shows its format by its first bytes', async (t) => {
  t.equal(sniffFormat(gzipSync(ABC)), 'tar.gz')
  t.equal(sniffFormat(frame), 'tar.zst')
  t.equal(sniffFormat(SKIPPABLE), 'tar.zst')
  t.equal(sniffFormat(Buffer.from('package.json')), 'tar')
  t.equal(sniffFormat(Buffer.from([0x1f])), 'tar')
})
