import type { Readable } from 'node:stream'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { test } from 'tap'
import tar from 'tar-stream'
import { packContext, readIgnore, type IgnoreOptions } from '../../../src/modules/builds/build-context.ts'
import { openSourceFolder } from '../../../src/modules/builds/source-folder.ts'
import { type SourceTree, writeSource } from './source-tree.ts'

interface Packed {
  name: string
  type: string
  mode: number
  text: string
  link: string | null
}

async function unpack(archive: Readable): Promise<Packed[]> {
  const entries: Packed[] = []
  const extract = tar.extract()
  archive.pipe(extract)
  for await (const entry of extract) {
    const pieces: Buffer[] = []
    for await (const piece of entry as AsyncIterable<Buffer>) pieces.push(piece)
    const { name, type, mode, linkname } = entry.header
    entries.push({
      name,
      type: type ?? '',
      mode: mode ?? 0,
      text: Buffer.concat(pieces).toString(),
      link: linkname ?? null,
    })
  }
  return entries
}

interface PackOptions extends IgnoreOptions {
  dockerfile?: string
  prefix?: string
  readable?: boolean
  extra?: Record<string, string>
}

async function pack(
  t: Test,
  tree: SourceTree,
  { dockerfile, prefix = '', readable = false, extra = {}, ...options }: PackOptions = {},
) {
  const root = await writeSource(t, tree)
  const ignore = await readIgnore(openSourceFolder(root), dockerfile, options)
  return unpack(packContext({ root, ignore, prefix, readable, extra }))
}

const names = (entries: Packed[]): string[] =>
  entries.map(({ name, type }) => (type === 'directory' ? `${name.replace(/\/$/, '')}/` : name))

const FILES = {
  'a.txt': 'a',
  'b.log': 'b',
  'docs/README.md': 'r',
  'docs/deep/x.md': 'x',
  'docs/deep/y.log': 'y',
  'src/a.txt': 'a2',
  'src/node_modules/m/i.js': 'i',
}

const IGNORED: [ignore: string, left: string[]][] = [
  [
    '',
    [
      'a.txt',
      'b.log',
      'docs/README.md',
      'docs/deep/x.md',
      'docs/deep/y.log',
      'src/a.txt',
      'src/node_modules/m/i.js',
    ],
  ],
  [
    '*.log',
    ['a.txt', 'docs/README.md', 'docs/deep/x.md', 'docs/deep/y.log', 'src/a.txt', 'src/node_modules/m/i.js'],
  ],
  ['**/*.log\n# docs\n\n  src  ', ['a.txt', 'docs/README.md', 'docs/deep/x.md']],
  ['docs', ['a.txt', 'b.log', 'src/a.txt', 'src/node_modules/m/i.js']],
  ['/docs/', ['a.txt', 'b.log', 'src/a.txt', 'src/node_modules/m/i.js']],
  ['docs\n!docs/deep/x.md', ['a.txt', 'b.log', 'docs/deep/x.md', 'src/a.txt', 'src/node_modules/m/i.js']],
  ['*\n!src\nsrc/node_modules', ['src/a.txt']],
  ['**/node_modules\n**/a.txt', ['b.log', 'docs/README.md', 'docs/deep/x.md', 'docs/deep/y.log']],
  ['?.txt\ndocs/[d-e]*', ['b.log', 'docs/README.md', 'src/a.txt', 'src/node_modules/m/i.js']],
  ['*\n!**/*.md', ['docs/README.md', 'docs/deep/x.md']],
]

void test('what the ignore file names is left out as Docker would, by table', async (t) => {
  for (const [ignore, left] of IGNORED) {
    const packed = await pack(t, { ...FILES, '.dockerignore': `${ignore}\n.dockerignore` })
    t.same(
      packed.filter(({ type }) => type === 'file').map(({ name }) => name),
      left,
      JSON.stringify(ignore),
    )
  }
})

void test('each folder comes before what is in it, also where only a file of it is wanted', async (t) => {
  const packed = await pack(t, { ...FILES, '.dockerignore': '*\n!docs/deep/x.md' })
  t.same(names(packed), ['docs/', 'docs/deep/', 'docs/deep/x.md'])
})

void test('the order depends on nothing but names, and so do the bytes', async (t) => {
  const packed = await pack(t, { 'b/2': '', a: '', 'b/1': '', B: '', 'b.txt': '' })
  t.same(names(packed), ['B', 'a', 'b/', 'b/1', 'b/2', 'b.txt'])
})

void test('the Dockerfile stays whatever the ignore file says, and one of its own counts first', async (t) => {
  const tree = { 'deploy/App': 'FROM x', 'deploy/b': '', c: '', '.dockerignore': '*' }
  t.same(names(await pack(t, tree, { dockerfile: './deploy/App' })), ['deploy/', 'deploy/App'])
  const own = { ...tree, 'deploy/App.dockerignore': 'c\n.dockerignore' }
  t.same(names(await pack(t, own, { dockerfile: 'deploy/App' })), [
    'deploy/',
    'deploy/App',
    'deploy/App.dockerignore',
    'deploy/b',
  ])
})

void test('what is asked to stay or go in any case does', async (t) => {
  const tree = { 'package.json': '{}', '.git/config': '', x: '', '.dockerignore': 'package.json\n!.git' }
  const packed = await pack(t, tree, { leave_out: ['.git'], keep: ['package.json'] })
  t.same(names(packed), ['.dockerignore', 'package.json', 'x'])
})

void test('links stay links and are never followed', async (t) => {
  const packed = await pack(t, { secret: '-> /etc/passwd', folder: '-> /etc', inside: '-> a/b', 'a/b': 'x' })
  t.same(
    packed.filter(({ type }) => type === 'symlink').map(({ name, link }) => [name, link]),
    [
      ['folder', '/etc'],
      ['inside', 'a/b'],
      ['secret', '/etc/passwd'],
    ],
  )
  t.notOk(packed.some(({ text }) => text.includes('root:')))
})

void test('an ignore file that is a link is refused', async (t) => {
  await t.rejects(pack(t, { '.dockerignore': '-> /etc/passwd' }), {
    name: 'BuildFailed',
    message: /symbolic link/,
  })
})

void test('an ignore file that cannot be read is a failure that names the line', async (t) => {
  await t.rejects(pack(t, { '.dockerignore': 'a\n[' }), { name: 'BuildFailed', message: /\.dockerignore:2/ })
})

void test('modes are kept, or opened for the user of an application', async (t) => {
  const tree = { 'run.sh': { text: '', mode: 0o750 }, key: { text: '', mode: 0o600 }, 'd/x': '' }
  const modes = async (readable: boolean) =>
    Object.fromEntries((await pack(t, tree, { readable })).map(({ name, mode }) => [name, mode]))
  t.match(await modes(false), { 'run.sh': 0o750, key: 0o600 })
  t.match(await modes(true), { 'run.sh': 0o754, key: 0o644 })
})

void test('the source is put into its folder, beside what Berth adds', async (t) => {
  const packed = await pack(
    t,
    { Dockerfile: 'theirs' },
    { prefix: 'app', extra: { Dockerfile: 'ours', 'berth/x.mjs': 'y' } },
  )
  t.same(
    packed.map(({ name, text }) => [name, text]),
    [
      ['Dockerfile', 'ours'],
      ['berth/x.mjs', 'y'],
      ['app/', ''],
      ['app/Dockerfile', 'theirs'],
    ],
  )
})

void test('long, foreign and large names and files come through', async (t) => {
  const long = `${'verzeichnis-'.repeat(12)}/${'datei-'.repeat(30)}ü ✓.txt`
  const packed = await pack(t, { [long]: 'x'.repeat(700_001) })
  t.equal(packed.at(-1)?.name, long)
  t.equal(packed.at(-1)?.text.length, 700_001)
})

void test('a pipe in the source is left out instead of waited for', async (t) => {
  const root = await writeSource(t, { a: '' })
  await mkdir(join(root, 'd'))
  await promisify(execFile)('mkfifo', [join(root, 'd', 'pipe')])
  const ignore = await readIgnore(openSourceFolder(root), undefined)
  t.same(names(await unpack(packContext({ root, ignore, prefix: '' }))), ['a', 'd/'])
})

void test('a reader that gives up leaves no file open', async (t) => {
  const root = await writeSource(t, { big: 'x'.repeat(5_000_000) })
  const ignore = await readIgnore(openSourceFolder(root), undefined)
  const archive = packContext({ root, ignore, prefix: '' })
  for await (const piece of archive) {
    t.ok(piece)
    break
  }
  t.ok(archive.destroyed)
})
