import { execFile } from 'node:child_process'
import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  open,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import type { BuildPlaces } from '../../src/cli/pack/build-ignore.ts'
import { type FolderPack, preparePack } from '../../src/cli/pack/folder-pack.ts'
import { ArchiveCheck } from '../../src/lib/archive-check.ts'
import { decodeArchive } from '../../src/lib/archive-decode.ts'
import { type ArchiveEntry, ArchiveReader } from '../../src/lib/archive-reader.ts'
import { createSystem } from '../../src/lib/system.ts'
import { writeFiles } from '../support/berth-command.ts'

const run = promisify(execFile)
const never = new AbortController().signal

async function temporaryFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-pack-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function prepare(
  folder: string,
  places: Partial<BuildPlaces> = {},
): Promise<FolderPack & { warnings: string[] }> {
  const warnings: string[] = []
  const pack = await preparePack(folder, {
    places: { context_path: null, dockerfile_path: null, ...places },
    onWarning: (text) => warnings.push(text),
    system: createSystem(),
    signal: never,
  })
  return { ...pack, warnings }
}

async function toBuffer(pack: FolderPack): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of pack.open(never)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function readBack(archive: Buffer): Promise<(ArchiveEntry & { contents: string })[]> {
  const reader = new ArchiveReader()
  const entries: (ArchiveEntry & { contents: string })[] = []
  for await (const piece of decodeArchive('tar.zst', Readable.from([archive]))) {
    for (const event of reader.push(piece)) {
      if (event.type === 'entry') entries.push({ ...event.entry, contents: '' })
      const last = entries.at(-1)
      if (event.type === 'data' && last) last.contents += event.bytes.toString('latin1')
    }
  }
  reader.end()
  return entries
}

test('a folder is packed in a fixed order, each folder before what is in it, with modes, times, links and empty folders', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    'b/run.sh': '#!/bin/sh\n',
    'b/a.txt': 'hello',
    'a.txt': '',
    'empty/': '',
    'b-c': 'x',
  })
  await chmod(join(folder, 'b/run.sh'), 0o755)
  await chmod(join(folder, 'a.txt'), 0o640)
  await utimes(join(folder, 'a.txt'), 1_700_000_000.9, 1_700_000_000.9)
  await symlink('b/a.txt', join(folder, 'link'))
  const pack = await prepare(folder)
  const entries = await readBack(await toBuffer(pack))
  t.same(
    entries.map(({ kind, name }) => `${kind} ${name}`),
    [
      'file a.txt',
      'directory b/',
      'file b/a.txt',
      'file b/run.sh',
      'file b-c',
      'directory empty/',
      'symlink link',
    ],
  )
  const byName = new Map(entries.map((entry) => [entry.name, entry]))
  t.match(byName.get('a.txt'), { mode: 0o640, mtime_ms: 1_700_000_000_000, size: 0 })
  t.match(byName.get('b/run.sh'), { mode: 0o755, contents: '#!/bin/sh\n' })
  t.match(byName.get('link'), { target: 'b/a.txt' })
  t.same(pack.total, { files: 4, folders: 2, links: 1, bytes: 16 })
  t.same(pack.packed, pack.total)
})

test('the same folder gives the same bytes, and the server accepts them', async (t) => {
  const folder = await temporaryFolder(t)
  const long = `${'d'.repeat(120)}/${'e'.repeat(120)}/${'ü'.repeat(60)}.txt`
  await writeFiles(folder, { [long]: 'long', 'größe.txt': 'x', ['n'.repeat(99)]: 'y' })
  await symlink(long, join(folder, 'to-long'))
  const archive = await toBuffer(await prepare(folder))
  t.ok(archive.equals(await toBuffer(await prepare(folder))))
  const check = new ArchiveCheck({ maxBytes: 1024 ** 2, maxEntries: 100 })
  for await (const piece of decodeArchive('tar.zst', Readable.from([archive])))
    for (const event of check.push(piece)) void event
  await check.end()
  const names = new Set((await readBack(archive)).map(({ name }) => name))
  t.ok(names.has(long))
  t.ok(names.has('größe.txt'))
})

test('tar(1) unpacks what was packed', async (t) => {
  const folder = await temporaryFolder(t)
  const source = join(folder, 'source')
  const target = join(folder, 'target')
  await writeFiles(source, { 'a/b.txt': 'one', [`a/${'x'.repeat(150)}`]: 'two', größe: 'three' })
  await symlink('b.txt', join(source, 'a/link'))
  await mkdir(target)
  const bytes = await toBuffer(await prepare(source))
  const archive = join(folder, 'archive.tar')
  await writeFile(archive, decodeArchive('tar.zst', Readable.from([bytes])))
  await run('tar', ['-xf', archive, '-C', target])
  const { stdout } = await run('diff', ['-r', '--no-dereference', source, target])
  t.equal(stdout, '')
})

test('a .dockerignore counts, but never against itself and the Dockerfile', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    '.dockerignore': '*\n!src\n',
    Dockerfile: '',
    'src/a': '',
    'docker/Dockerfile.web': '',
    'docker/b': '',
    c: '',
  })
  const names = async (dockerfile?: string): Promise<string[]> => {
    const pack = await prepare(folder, dockerfile === undefined ? {} : { dockerfile_path: dockerfile })
    return (await readBack(await toBuffer(pack))).map(({ name }) => name)
  }
  t.same(await names(), ['.dockerignore', 'Dockerfile', 'src/', 'src/a'])
  t.same(await names('docker/Dockerfile.web'), [
    '.dockerignore',
    'docker/',
    'docker/Dockerfile.web',
    'src/',
    'src/a',
  ])
  await writeFiles(folder, { 'docker/Dockerfile.web.dockerignore': 'src\nc\n' })
  t.same(
    await names('docker/Dockerfile.web'),
    [
      '.dockerignore',
      'Dockerfile',
      'docker/',
      'docker/Dockerfile.web',
      'docker/Dockerfile.web.dockerignore',
      'docker/b',
    ],
    "the Dockerfile's own takes its place",
  )
})

test('with a context of its own a service obeys the .dockerignore in there', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    '.dockerignore': '*\n',
    'web/.dockerignore': 'node_modules\n*.md\n',
    'web/package.json': '{}',
    'web/read.md': '',
    'web/node_modules/x/y': '',
    'shared/read.md': '',
  })
  const pack = await prepare(folder, { context_path: './web/' })
  const names = (await readBack(await toBuffer(pack))).map(({ name }) => name)
  t.same(names, [
    '.dockerignore',
    'shared/',
    'shared/read.md',
    'web/',
    'web/.dockerignore',
    'web/package.json',
  ])
  await writeFiles(folder, { 'web/.dockerignore': '*\n' })
  const bare = await readBack(await toBuffer(await prepare(folder, { context_path: 'web' })))
  t.ok(
    bare.some(({ name }) => name === 'web/package.json'),
    'what the server tells the kind of application by stays',
  )
})

const LINKS_OUT: [title: string, links: [name: string, target: string][], named: string][] = [
  ['an absolute target', [['a', '/etc/passwd']], 'a'],
  ['a target above the folder', [['a', '../x']], 'a'],
  ['a target above the folder, from a subfolder', [['d/a', '../../x']], 'd/a'],
  [
    'a way out over another link',
    [
      ['d/e/up', '..'],
      ['x', 'd/e/up/../..'],
    ],
    'x',
  ],
]

for (const [title, links, named] of LINKS_OUT) {
  test(`a link out of the folder is refused by name: ${title}`, async (t) => {
    const folder = await temporaryFolder(t)
    await writeFiles(folder, { 'd/e/': '', file: '' })
    for (const [name, target] of links) await symlink(target, join(folder, name))
    await t.rejects(prepare(folder), {
      name: 'CliError',
      message: new RegExp(`^${named} is a link to .*outside of the folder`),
    })
  })
}

test('links that stay inside are packed, also dangling ones, loops, and those that leave a subfolder', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, { 'd/e/': '', file: '' })
  const links = {
    'd/up': '../file',
    'd/e/upup': '../../d',
    nothing: 'no/such/thing',
    loop: 'loop',
    here: '.',
    'far/': '',
  }
  for (const [name, target] of Object.entries(links)) {
    if (target !== '') await symlink(target, join(folder, name))
  }
  const entries = await readBack(await toBuffer(await prepare(folder)))
  t.same(
    entries
      .filter(({ kind }) => kind === 'symlink')
      .map(({ name }) => name)
      .toSorted(),
    ['d/e/upup', 'd/up', 'here', 'loop', 'nothing'],
  )
})

test('an ignored link may lead anywhere', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, { '.gitignore': 'out\n', a: '' })
  await symlink('/etc', join(folder, 'out'))
  t.equal((await prepare(folder)).total.links, 0)
})

test('pipes and sockets are left out, and named once', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, { a: '' })
  await run('mkfifo', [join(folder, 'pipe')])
  const pack = await prepare(folder)
  t.same(
    (await readBack(await toBuffer(pack))).map(({ name }) => name),
    ['a'],
  )
  t.same(pack.warnings, ['pipe is left out: it is neither file, folder nor link'])
})

const BIG = 48 * 1024 ** 2

/** A file that does not compress, so that its end has not been read when the first packed bytes come out. */
async function writeBig(path: string): Promise<void> {
  const random = await open('/dev/urandom')
  const { buffer } = await random.read(Buffer.alloc(BIG))
  await random.close()
  await writeFile(path, buffer)
}

async function packWhile(pack: FolderPack, interfere: () => Promise<void>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of pack.open(never)) {
    if (chunks.length === 0) await interfere()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

test('a file that grows while it is packed is packed with the size that it had', async (t) => {
  const folder = await temporaryFolder(t)
  await writeBig(join(folder, 'big'))
  const pack = await prepare(folder)
  const archive = await packWhile(pack, () => appendFile(join(folder, 'big'), 'more'))
  t.match(await readBack(archive), [{ name: 'big', size: BIG }])
  t.same(pack.warnings, [`big grew while it was packed: its first ${BIG} bytes are sent`])
})

test('a file that becomes shorter while it is packed ends the packing', async (t) => {
  const folder = await temporaryFolder(t)
  await writeBig(join(folder, 'big'))
  const pack = await prepare(folder)
  await t.rejects(
    packWhile(pack, () => truncate(join(folder, 'big'), 10)),
    { name: 'CliError', message: /big became shorter/ },
  )
})

test('what vanishes or becomes something else between looking and packing is left out, with a word', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, { a: '', b: '', 'c/d': '' })
  const pack = await prepare(folder)
  await rm(join(folder, 'a'))
  await rm(join(folder, 'b'))
  await symlink('c/d', join(folder, 'b'))
  await rm(join(folder, 'c'), { recursive: true })
  t.same(
    (await readBack(await toBuffer(pack))).map(({ kind, name }) => `${kind} ${name}`),
    ['symlink b'],
  )
})

test('a name that is not UTF-8 is refused, unless it is ignored', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(Buffer.concat([Buffer.from(`${folder}/bad`), Buffer.from([0xff])]), '')
  await t.rejects(prepare(folder), { message: /not valid UTF-8/ })
  await writeFile(join(folder, '.gitignore'), 'bad?\n')
  t.equal((await prepare(folder)).total.files, 1)
})

test('packing stops when it is aborted', async (t) => {
  const folder = await temporaryFolder(t)
  await writeBig(join(folder, 'big'))
  const pack = await prepare(folder)
  const abort = new AbortController()
  const reason = new Error('enough')
  await t.rejects(
    (async () => {
      for await (const chunk of pack.open(abort.signal)) {
        void chunk
        abort.abort(reason)
      }
    })(),
    { name: 'AbortError' },
  )
})

test('a folder of a gigabyte is packed in constant memory', async (t) => {
  const folder = await temporaryFolder(t)
  const sparse = await open(join(folder, 'sparse'), 'w')
  await sparse.truncate(1024 ** 3)
  await sparse.close()
  const script = `
    const { preparePack } = await import(process.argv[1])
    const { createSystem } = await import(process.argv[2])
    const { peakRss } = await import(process.argv[4])
    const signal = new AbortController().signal
    const pack = await preparePack(process.argv[3], { places: { context_path: null, dockerfile_path: null }, onWarning: () => {}, system: createSystem(), signal })
    let bytes = 0
    for await (const chunk of pack.open(signal)) bytes += chunk.length
    console.log(JSON.stringify({ bytes, packed: pack.packed.bytes, rss: peakRss() }))`
  const path = (name: string): string => fileURLToPath(new URL(`../../src/${name}`, import.meta.url))
  const args = [
    '--input-type=module',
    '-e',
    script,
    path('cli/pack/folder-pack.ts'),
    path('lib/system.ts'),
    folder,
    fileURLToPath(new URL('../support/peak-rss.ts', import.meta.url)),
  ]
  const { stdout } = await run(process.execPath, args)
  const { bytes, packed, rss } = JSON.parse(stdout) as { bytes: number; packed: number; rss: number }
  t.equal(packed, 1024 ** 3)
  t.ok(bytes < 1024 ** 2, 'zeros pack small')
  t.ok(rss < 256 * 1024 ** 2, `${Math.round(rss / 1024 ** 2)} MiB at most`)
})
