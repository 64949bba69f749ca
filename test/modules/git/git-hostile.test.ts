import { randomBytes } from 'node:crypto'
import { access, appendFile, lstat, readFile, readlink, writeFile, chmod, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { serveGitHttps } from '../../support/git-https-server.ts'
import { openGitWorld } from './git-world.ts'
import type { Test } from 'tap'

async function openHostile(t: Test) {
  const world = await openGitWorld(t)
  const repository = await world.repositories.create('evil.git')
  const server = await serveGitHttps(world.repositories.root, world.authority)
  t.teardown(server.close)
  return { world, repository, server, repo_url: `${server.url}/evil.git` }
}

test('links stay links, filters and conversions do nothing, odd names arrive', async (t) => {
  const { world, repository, repo_url } = await openHostile(t)
  const marker = join(world.repositories.root, 'ran')
  await mkdir(join(repository.bare, 'hooks'))
  for (const hook of ['post-checkout', 'upload-pack']) {
    await writeFile(join(repository.bare, 'hooks', hook), `#!/bin/sh\ntouch ${marker}\n`)
    await chmod(join(repository.bare, 'hooks', hook), 0o755)
  }
  await repository.commit({
    Dockerfile: '-> /etc/passwd',
    'out/link': '-> ../../../../etc',
    'a b\'"$(id)`id`;&.txt': 'odd',
    '-rf': 'option-like',
    'ünïcödé/💥.txt': 'unicode',
    'file.txt': 'line\n$Id$\n',
    'file.enc': Buffer.from('\ufeffplain\n', 'utf16le'),
    'file.run': 'as it is\n',
    '.gitattributes': '* text eol=crlf ident\n*.enc working-tree-encoding=UTF-16\n*.run filter=run\n',
  })
  const { folder } = await world.fetch({ repo_url })
  t.equal(await readlink(join(folder, 'Dockerfile')), '/etc/passwd')
  t.ok((await lstat(join(folder, 'out/link'))).isSymbolicLink())
  t.equal(await readFile(join(folder, 'file.txt'), 'utf8'), 'line\n$Id$\n')
  t.equal(await readFile(join(folder, 'file.enc'), 'utf8'), 'plain\n')
  t.equal(await readFile(join(folder, '-rf'), 'utf8'), 'option-like')
  t.equal(await readFile(join(folder, 'ünïcödé/💥.txt'), 'utf8'), 'unicode')
  await t.rejects(access(marker), 'no hook ran')
})

test('names that lead elsewhere or cannot be shown are refused', async (t) => {
  const { world, repository, repo_url } = await openHostile(t)
  await repository.commit({ 'app.txt': 'one' })
  const blob = await repository.git('rev-parse', 'HEAD:app.txt')
  const trees: [name: string, refusal: RegExp][] = [
    ['.git', /what git refuses|leads elsewhere/],
    ['..', /what git refuses|leads elsewhere/],
    ['.GIT', /what git refuses|leads elsewhere/],
    ['new\nline', /control characters/],
    ['\xff\xfe', /not UTF-8/],
  ]
  for (const [name, refusal] of trees) {
    const entry = Buffer.concat([
      Buffer.from('100644 '),
      Buffer.from(name, 'latin1'),
      Buffer.from([0]),
      Buffer.from(blob, 'hex'),
    ])
    const file = join(world.repositories.root, 'tree')
    await writeFile(file, entry)
    const tree = await repository.git('hash-object', '-t', 'tree', '-w', '--literally', file)
    const commit = await repository.git('commit-tree', tree, '-m', 'evil')
    await repository.git(
      '-c',
      'receive.fsckObjects=false',
      'push',
      '-q',
      '--force',
      repository.bare,
      `${commit}:refs/heads/main`,
    )
    t.match(await world.refusal({ repo_url }), refusal, JSON.stringify(name))
  }
})

test('a name of any length costs no memory, and is refused', async (t) => {
  const { world, repository, repo_url } = await openHostile(t)
  await repository.commit({ 'app.txt': 'one' })
  const blob = await repository.git('rev-parse', 'HEAD:app.txt')
  const file = join(world.repositories.root, 'tree')
  await writeFile(file, '100644 ')
  // In pieces: what the test itself takes would hide what reading takes.
  for (let mib = 0; mib < 96; mib += 1) await appendFile(file, 'n'.repeat(1024 ** 2))
  await appendFile(file, Buffer.concat([Buffer.from([0]), Buffer.from(blob, 'hex')]))
  // Straight into what is served, which does not look for something similar: a push would take longer than all the rest.
  const served = (...args: string[]): Promise<string> => repository.git('--git-dir', repository.bare, ...args)
  await served('config', 'core.bigFileThreshold', '1m')
  const tree = await served('hash-object', '-t', 'tree', '-w', '--literally', file)
  await served('update-ref', 'refs/heads/main', await served('commit-tree', tree, '-m', 'long'))
  const before = process.resourceUsage().maxRSS
  t.match(await world.refusal({ repo_url }), /path that is too long or too deep: n{300}/)
  t.ok(process.resourceUsage().maxRSS - before < 64 * 1024, 'in KiB')
})

test('.gitmodules cannot run anything, climb out or reach a private host', async (t) => {
  const { world, repository, repo_url } = await openHostile(t)
  const sha = await repository.commit({ 'app.txt': 'one' })
  const submodule = async (modules: string): Promise<string> => {
    await writeFile(join(repository.bare, '..', 'modules'), modules)
    const blob = await repository.git('hash-object', '-w', join(repository.bare, '..', 'modules'))
    await repository.git('read-tree', '--empty')
    await repository.git('update-index', '--add', '--cacheinfo', `100644,${blob},.gitmodules`)
    await repository.git('update-index', '--add', '--cacheinfo', `160000,${sha},lib`)
    const tree = await repository.git('write-tree')
    const commit = await repository.git('commit-tree', tree, '-m', 'submodule')
    await repository.git('push', '-q', '--force', repository.bare, `${commit}:refs/heads/main`)
    return world.refusal({ repo_url, submodules: true }, { git_private_ranges: ['127.0.0.0/16', '::1'] })
  }
  const of = (url: string): string => `[submodule "lib"]\n\tpath = lib\n\turl = ${url}\n`
  t.match(await submodule(of('ext::sh -c id')), /URL of the submodule lib must/)
  t.match(await submodule(of('file:///etc')), /URL of the submodule lib must/)
  t.match(await submodule(of('/etc/passwd')), /URL of the submodule lib must/)
  t.match(await submodule(of('-u./evil')), /what git refuses|URL of the submodule lib must/)
  t.match(await submodule(of('../../../evil')), /leads above the root|no repository/)
  t.match(await submodule(of('https://169.254.169.254/latest.git')), /private address/)
  t.match(await submodule(of('https://user:pass@localhost/x.git')), /must not hold credentials/)
  t.match(
    await submodule('[submodule "other"]\n\tpath = other\n\turl = https://localhost/x\n'),
    /has no URL in .gitmodules/,
  )
  t.match(await submodule('[submodule "lib"\n'), /what git refuses|no .gitmodules that git can read/)
  t.match(await submodule('[include]\n\tpath = /etc/passwd\n'), /has no URL in .gitmodules/)
  t.match(
    await submodule(`${of('../evil.git')}${'\tbranch = none\n'.repeat(50_000)}`),
    /What .gitmodules says takes more than 1048576 bytes/,
    'rather than cut',
  )
  t.match(
    await submodule(of('../evil.git')),
    /it was not refused/,
    'a relative URL starts from that of its repository',
  )
})

test('what is too large is refused before it is written', async (t) => {
  const { world, repository, repo_url } = await openHostile(t)
  await repository.commit({ 'zeros.bin': Buffer.alloc(8 * 1024 ** 2) })
  t.match(
    await world.refusal({ repo_url }, { unpacked_max_bytes: 1024 ** 2 }),
    'have more than 1048576 bytes',
  )
  await repository.commit({ 'zeros.bin': null, 'random.bin': randomBytes(4 * 1024 ** 2) })
  t.match(
    await world.refusal({ repo_url }, { git_max_bytes: 1024 ** 2 }),
    /larger than (1048576 bytes|git_max_bytes allows)/,
  )
  const many = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`f/${index}`, 'x']))
  await repository.commit({ 'random.bin': null, ...many })
  t.match(await world.refusal({ repo_url }, { unpacked_max_entries: 20 }), 'more than 20 files')
  t.same(await world.leftovers(), [])
})

test('a few objects that unfold to thousands of millions of files or folders are refused at once', async (t) => {
  const { world, repository, repo_url } = await openHostile(t)
  await repository.commit({ 'app.txt': 'one' })
  const file = join(world.repositories.root, 'tree')
  const treeOf = async (mode: string, object: string | undefined): Promise<string> => {
    const entries = Array.from({ length: object === undefined ? 0 : 10 }, (_, nth) =>
      Buffer.concat([Buffer.from(`${mode} ${nth}\0`), Buffer.from(object ?? '', 'hex')]),
    )
    await writeFile(file, Buffer.concat(entries))
    return repository.git('hash-object', '-t', 'tree', '-w', file)
  }
  const bombs = {
    files: await treeOf('100644', await repository.git('rev-parse', 'HEAD:app.txt')),
    folders: await treeOf('40000', undefined),
  }
  for (const [what, bottom] of Object.entries(bombs)) {
    let tree = bottom
    for (let depth = 0; depth < 12; depth += 1) tree = await treeOf('40000', tree)
    const commit = await repository.git('commit-tree', tree, '-m', 'bomb')
    await repository.git('push', '-q', '--force', repository.bare, `${commit}:refs/heads/main`)
    t.match(await world.refusal({ repo_url }, { git_timeout_seconds: 20 }), `more than 1000 ${what}`)
  }
})

test('of a repository with a long history and tens of thousands of refs only what is asked for comes', async (t) => {
  const { world, repository, repo_url } = await openHostile(t)
  for (let nth = 0; nth < 3; nth += 1) await repository.commit({ 'film.bin': randomBytes(600 * 1024) })
  const sha = await repository.commit({ 'film.bin': 'cut' }, { message: 'Small' })
  await repository.git('tag', 'v1')
  await repository.git('push', '-q', repository.bare, 'v1')
  const line = (name: string): string => `${sha} ${name}\n`
  // Their ends are what `git ls-remote` compares names with.
  const refs = Array.from({ length: 30_000 }, (_, nth) => line(`refs/changes/${nth}/refs/heads/main`))
  await writeFile(
    join(repository.bare, 'packed-refs'),
    `# pack-refs with: peeled fully-peeled sorted \n${refs.toSorted().join('')}${line('refs/tags/v1')}`,
  )
  await rm(join(repository.bare, 'refs', 'tags', 'v1'), { force: true })
  for (const git_ref of [null, 'main', 'v1', sha]) {
    const { commit } = await world.fetch({ repo_url, git_ref }, { git_max_bytes: 1024 ** 2 })
    t.match(commit, { sha, message: 'Small' }, git_ref ?? 'the default branch')
  }
  const first = await repository.git('rev-list', '--max-parents=0', 'HEAD')
  t.match((await world.fetch({ repo_url, git_ref: first }, { git_max_bytes: 1024 ** 2 })).commit, {
    sha: first,
  })
})

test('pointers of Git LFS are refused, where they would be built', async (t) => {
  const { world, repository, repo_url } = await openHostile(t)
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'a'.repeat(64)}\nsize 12345\n`
  await repository.commit({ 'app/index.html': 'hello', 'media/film.mp4': pointer })
  await world.fetch({ repo_url })
  await repository.commit({ '.gitattributes': '*.mp4 filter=lfs diff=lfs merge=lfs -text\n' })
  t.match(await world.refusal({ repo_url }), 'media/film.mp4 is kept by Git LFS')
  await world.fetch({ repo_url, context_path: 'app' })
})
