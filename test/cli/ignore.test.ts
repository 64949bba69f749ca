import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { array, assert, asyncProperty, constantFrom, oneof } from 'fast-check'
import { type Test, test } from 'tap'
import { type Selection, walkFolder } from '../../src/cli/pack/folder-walk.ts'
import { readGitKnowledge } from '../../src/cli/pack/git-work-tree.ts'
import { ArchiveReader } from '../../src/lib/archive-reader.ts'
import { parseDockerIgnore } from '../../src/lib/docker-ignore.ts'
import { writeFiles } from '../support/berth-command.ts'

const run = promisify(execFile)

async function temporaryFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-ignore-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function git(folder: string, ...args: string[]): Promise<string> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: folder,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
  }
  const identity = ['-c', 'user.name=t', '-c', 'user.email=t@example.com']
  return (
    await run('git', [...identity, ...args], { cwd: folder, env, encoding: 'latin1', maxBuffer: 1024 ** 3 })
  ).stdout
}

/** What Git would keep: all that it tracks, and all that nothing excludes. */
async function keptByGit(folder: string): Promise<string[]> {
  const listed = await git(folder, 'ls-files', '-z', '--cached', '--others', '--exclude-standard')
  return [...new Set(listed.split('\0').filter((name) => name !== ''))].toSorted()
}

function packed(folder: string, docker?: Selection['docker']): string[] {
  const walked = walkFolder({ root: folder, git: readGitKnowledge(folder), docker, onSkip: () => {} })
  return [...walked]
    .filter(({ kind }) => kind !== 'directory')
    .map(({ name }) => Buffer.from(name).toString('latin1'))
    .toSorted()
}

const SOME_FILES = {
  'a.txt': '',
  'b.log': '',
  'dist/app.js': '',
  'dist/keep/me.txt': '',
  'doc/a.txt': '',
  'doc/deep/b.log': '',
  'src/main.ts': '',
  'src/dist/x': '',
  'src/build/a b ': '',
  'node_modules/x/index.js': '',
  'src/node_modules/y/index.js': '',
  '#hash': '',
  '!bang': '',
  'x[1].txt': '',
  'é.txt': '',
  'foo/x/bar': '',
  foobar: '',
}

const GIT_TABLE: [title: string, files: Record<string, string>][] = [
  ['a name at any depth', { '.gitignore': 'node_modules\n*.log\n' }],
  ['a rooted name', { '.gitignore': '/dist\n/a.txt' }],
  ['a folder only', { '.gitignore': 'dist/\nfoobar/\n' }],
  ['a slash in the middle roots', { '.gitignore': 'src/dist\ndeep/b.log\n' }],
  ['what is taken back', { '.gitignore': '*.txt\n!a.txt\n!/doc/a.txt\n' }],
  ['nothing comes back below an excluded folder', { '.gitignore': 'dist\n!dist/keep/me.txt\n' }],
  ['what comes back below excluded contents', { '.gitignore': 'dist/*\n!dist/keep\n' }],
  ['stars over folders', { '.gitignore': '**/dist\ndoc/**/b.log\nfoo/**\n' }],
  ['stars that are no folders', { '.gitignore': 'foo**/bar\nsrc/**t/x\n' }],
  ['question marks and sets', { '.gitignore': '?.txt\nx[[]1].txt\n[!a-z]hash\n' }],
  ['a character of two bytes', { '.gitignore': '??.txt\n' }],
  [
    'escapes, comments and spaces',
    { '.gitignore': '\\#hash\n# comment\n\\!bang\nsrc/build/a b\\ \na.txt   \n' },
  ],
  ['line ends of Windows', { '.gitignore': '\uFEFFdist\r\n*.log\r\n\r\n' }],
  ['a file of its own in a folder', { '.gitignore': '*.txt\n', 'doc/.gitignore': '!a.txt\n*.log\n' }],
  [
    'a deeper file against a higher one',
    { 'src/.gitignore': '/dist\n', 'doc/.gitignore': '*\n!deep/\n', 'doc/deep/.gitignore': '!b.log' },
  ],
  ['a pattern that never matches', { '.gitignore': 'foo\\\n[a\n!\n/\n' }],
  ['everything', { '.gitignore': '*\n' }],
]

for (const [title, files] of GIT_TABLE) {
  test(`a folder is packed as Git would keep it: ${title}`, async (t) => {
    const folder = await temporaryFolder(t)
    await git(folder, 'init', '-q')
    await writeFiles(folder, { ...SOME_FILES, ...files })
    t.same(packed(folder), await keptByGit(folder))
  })
}

test('.git/info/exclude counts, and less than any .gitignore', async (t) => {
  const folder = await temporaryFolder(t)
  await git(folder, 'init', '-q')
  await writeFiles(folder, {
    ...SOME_FILES,
    '.git/info/exclude': '*.txt\n*.log\n',
    'doc/.gitignore': '!a.txt\n',
  })
  const kept = await keptByGit(folder)
  t.ok(kept.includes('doc/a.txt'))
  t.notOk(kept.includes('a.txt'))
  t.same(packed(folder), kept)
})

for (const version of ['2', '3', '4']) {
  test(`what Git tracks is packed though a pattern excludes it (index version ${version})`, async (t) => {
    const folder = await temporaryFolder(t)
    await git(folder, 'init', '-q')
    await writeFiles(folder, { ...SOME_FILES, '.gitignore': 'dist\n*.log\n', 'dist/other.js': '' })
    await git(folder, 'add', '-f', 'dist/keep/me.txt', 'b.log', 'src/main.ts')
    // A version 3 entry.
    if (version === '3') await git(folder, 'add', '-N', 'a.txt')
    else await git(folder, 'update-index', '--index-version', version)
    const kept = await keptByGit(folder)
    t.ok(kept.includes('dist/keep/me.txt'))
    t.notOk(kept.includes('dist/other.js'))
    t.same(packed(folder), kept)
  })
}

test('ignore files above a packed subfolder count, also in a linked work tree', async (t) => {
  const folder = await temporaryFolder(t)
  const tree = join(folder, 'tree')
  const linked = join(folder, 'linked')
  await writeFiles(tree, { ...SOME_FILES, '.gitignore': '*.log\n/doc/a.txt\n', 'doc/c.txt': '' })
  await git(tree, 'init', '-q')
  await git(tree, 'add', '.')
  await git(tree, 'commit', '-q', '-m', 'x')
  await git(tree, 'worktree', 'add', '-q', linked)
  await writeFiles(linked, { 'doc/new.log': '', 'doc/new.txt': '', 'doc/a.txt': '' })
  t.same(packed(join(tree, 'doc')), ['c.txt'])
  t.same(packed(join(linked, 'doc')), ['c.txt', 'new.txt'])
})

test('an ignored folder that is named by itself is packed', async (t) => {
  const folder = await temporaryFolder(t)
  await git(folder, 'init', '-q')
  await writeFiles(folder, { ...SOME_FILES, '.gitignore': 'dist\n*.js\n', 'dist/.gitignore': 'keep\n' })
  t.same(packed(join(folder, 'dist')), ['.gitignore', 'app.js'])
})

test('.git is never packed, at whatever depth, and a .gitignore works without Git', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    '.gitignore': '*.log\n',
    'a.log': '',
    a: '',
    'sub/.git/HEAD': '',
    'sub/b': '',
    'work/.git': 'gitdir: /x',
    'work/c': '',
  })
  t.same(packed(folder), ['.gitignore', 'a', 'sub/b', 'work/c'])
})

test('a .gitignore that is a link is not read, as Git does not read it', async (t) => {
  const folder = await temporaryFolder(t)
  await git(folder, 'init', '-q')
  await writeFiles(folder, { rules: '*.log\n', 'a.log': '' })
  await run('ln', ['-s', 'rules', join(folder, '.gitignore')])
  t.same(packed(folder), ['.gitignore', 'a.log', 'rules'])
})

test('made-up patterns exclude what Git excludes', async (t) => {
  const folder = await temporaryFolder(t)
  await git(folder, 'init', '-q')
  const names = ['a', 'b', 'ab', 'a b', 'a ', '#a', '!a', '[a]', 'a*', '-', '\\a', 'é', 'a.b', 'A', 'a\tb']
  const paths = names.flatMap((name) => [
    `f/${name}`,
    `${name}d/x`,
    `a/${name}/y`,
    `a/b/${name}x`,
    `d/a/b/${name}`,
  ])
  await writeFiles(folder, Object.fromEntries(paths.map((path) => [path, ''])))
  const piece = constantFrom(
    'a',
    'b',
    'd',
    'ab',
    '/',
    '*',
    '**',
    '?',
    '[a',
    '[!a',
    '[^a-b',
    '[]a]',
    'b-a]',
    ']',
    '!',
    '\\',
    ' ',
    '#',
    'x',
    '.',
    '[[:alpha:]]',
    '**/',
    '/**',
    '\t',
    '\r',
    '\u00C3\u00A9',
  )
  const made = array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join(''))
  const line = oneof(
    made,
    constantFrom(...paths),
    constantFrom(...paths).map((path) => `!${path.replace(/[ab]/, '*')}`),
  )
  const lines = array(line, { maxLength: 4 })
  await assert(
    asyncProperty(lines, lines, async (top, inA) => {
      await writeFile(join(folder, '.gitignore'), `${top.join('\n')}\n`, 'latin1')
      await writeFile(join(folder, 'a/.gitignore'), inA.join('\n'), 'latin1')
      const [ours, theirs] = [packed(folder), await keptByGit(folder)]
      if (ours.join('\n') !== theirs.join('\n'))
        throw new Error(`we pack\n${ours.join('\n')}\nGit keeps\n${theirs.join('\n')}`)
    }),
    { numRuns: 150 },
  )
})

const DOCKER_TABLE: [title: string, lines: string[], left: string[]][] = [
  ['a rooted name', ['a.txt', 'dist'], ['b.log', 'doc/a.txt', 'doc/deep/b.log', 'src/dist/x', 'src/main.ts']],
  ['a name with a slash in front', ['/dist/', '/src'], ['a.txt', 'b.log', 'doc/a.txt', 'doc/deep/b.log']],
  [
    'a star does not cross folders',
    ['*.txt', '*/*.txt'],
    ['b.log', 'dist/app.js', 'dist/keep/me.txt', 'doc/deep/b.log', 'src/dist/x', 'src/main.ts'],
  ],
  ['two stars do', ['**/*.txt', '**/dist'], ['b.log', 'doc/deep/b.log', 'src/main.ts']],
  [
    'an exception below an excluded folder',
    ['dist', '!dist/keep'],
    ['a.txt', 'b.log', 'dist/keep/me.txt', 'doc/a.txt', 'doc/deep/b.log', 'src/dist/x', 'src/main.ts'],
  ],
  ['everything but', ['*', '!src/main.ts'], ['src/main.ts']],
  [
    'the last that matches wins',
    ['doc', '!doc/deep', 'doc/deep/b.log'],
    ['a.txt', 'b.log', 'dist/app.js', 'dist/keep/me.txt', 'src/dist/x', 'src/main.ts'],
  ],
  [
    'comments, blanks and dots',
    ['# dist', '  ', '  ./dist/../src  ', 'doc/?.txt'],
    ['a.txt', 'b.log', 'dist/app.js', 'dist/keep/me.txt', 'doc/deep/b.log'],
  ],
]

const DOCKER_FILES = Object.fromEntries(
  [
    'a.txt',
    'b.log',
    'dist/app.js',
    'dist/keep/me.txt',
    'doc/a.txt',
    'doc/deep/b.log',
    'src/dist/x',
    'src/main.ts',
  ].map((name) => [name, '']),
)

function packedForDocker(folder: string, text: string): string[] {
  const ignore = parseDockerIgnore(text)
  return packed(folder, ignore).filter((name) => name !== '.dockerignore' && name !== 'Dockerfile')
}

for (const [title, lines, left] of DOCKER_TABLE) {
  test(`a .dockerignore leaves out what it should: ${title}`, async (t) => {
    const folder = await temporaryFolder(t)
    await writeFiles(folder, DOCKER_FILES)
    t.same(packedForDocker(folder, lines.join('\n')), left)
  })
}

test('a .dockerignore leaves out what the docker command leaves out of a build', async (t) => {
  const folder = await temporaryFolder(t)
  const engine = await startContextReader(t)
  for (const [title, lines] of DOCKER_TABLE) {
    const text = `${lines.join('\n')}\n`
    await writeFiles(folder, { ...DOCKER_FILES, '.dockerignore': text, Dockerfile: 'FROM scratch\n' })
    const env = {
      PATH: process.env['PATH'] ?? '',
      HOME: folder,
      DOCKER_HOST: engine.url,
      DOCKER_BUILDKIT: '0',
    }
    await run('docker', ['build', '-q', folder], { env })
    const sent = engine.names().filter((name) => name !== '.dockerignore' && name !== 'Dockerfile')
    t.same(packedForDocker(folder, text), sent, title)
  }
})

/** Something that the docker command takes for an engine, and that tells what it was sent to build. */
async function startContextReader(t: Test): Promise<{ url: string; names: () => string[] }> {
  let names: string[] = []
  const server = createServer((request, response) => {
    const take = async (): Promise<void> => {
      const isBuild = request.url?.includes('/build') ?? false
      const reader = new ArchiveReader()
      if (isBuild) names = []
      for await (const chunk of request as AsyncIterable<Buffer>) {
        for (const event of isBuild ? reader.push(chunk) : []) {
          if (event.type === 'entry' && event.entry.kind === 'file') names.push(event.entry.name)
        }
      }
      response.writeHead(200, { 'content-type': 'application/json', 'api-version': '1.41', ostype: 'linux' })
      response.end(isBuild ? '{"stream":"ok"}\n' : '{}')
    }
    void take().catch((error: unknown) => response.destroy(error as Error))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`, names: () => names.toSorted() }
}

test('a .dockerignore that cannot be read names the line', async (t) => {
  t.throws(() => parseDockerIgnore('ok\n!\n'), { message: '.dockerignore:2: "!" without a pattern' })
  t.throws(() => parseDockerIgnore('a[b\n'), { message: '.dockerignore:1: "[" without "]"' })
})

test('a pattern made to keep a matcher busy is answered at once', async (t) => {
  const ignore = parseDockerIgnore(`${'*a'.repeat(40)}b\n${'**/a'.repeat(30)}/b\n`)
  t.notOk(ignore.excludes('a'.repeat(5000)))
  t.notOk(ignore.excludes('a/'.repeat(2000)))
  t.ok(ignore.excludes(`${'a'.repeat(200)}b`))
})
