import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Nothing of whoever runs the tests: no configuration, no hooks, fixed names and times. */
const ENVIRONMENT = {
  PATH: process.env['PATH'],
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Olive Author',
  GIT_AUTHOR_EMAIL: 'olive@example.com',
  GIT_COMMITTER_NAME: 'Otto Committer',
  GIT_COMMITTER_EMAIL: 'otto@example.com',
  GIT_AUTHOR_DATE: '2026-11-20T10:00:00Z',
  GIT_COMMITTER_DATE: '2026-11-20T11:00:00Z',
}

export async function git(cwd: string, ...args: string[]): Promise<string> {
  const { stdout } = await run('git', args, { cwd, env: ENVIRONMENT, maxBuffer: 64 * 1024 ** 2 })
  return stdout.trim()
}

/** A repository that a server serves, with a working copy to commit in. */
export interface TestRepository {
  /** The bare repository. */
  bare: string
  /** Writes files (a value `-> target` makes a link, null removes), commits and pushes to the branch; answers the commit. */
  commit(
    files: Record<string, string | Buffer | null>,
    options?: { branch?: string; message?: string; force?: boolean },
  ): Promise<string>
  /** Runs git in the working copy. */
  git(...args: string[]): Promise<string>
}

/** A folder of repositories: `root/<name>` is the bare one. */
export interface RepositoryRoot {
  root: string
  create(name: string): Promise<TestRepository>
  remove(): Promise<void>
}

export async function openRepositoryRoot(): Promise<RepositoryRoot> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-git-'))
  const root = join(folder, 'served')
  await mkdir(root)
  return {
    root,
    create: (name) => createRepository(join(root, name), join(folder, 'work', name)),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

async function createRepository(bare: string, work: string): Promise<TestRepository> {
  await mkdir(bare, { recursive: true })
  await mkdir(work, { recursive: true })
  await git(bare, 'init', '-q', '--bare', '--initial-branch=main', '--template=')
  // What http-backend serves without asking.
  await git(bare, 'config', 'http.receivepack', 'false')
  await git(work, 'init', '-q', '--initial-branch=main', '--template=')
  const commit: TestRepository['commit'] = async (
    files,
    { branch = 'main', message = 'Change', force } = {},
  ) => {
    for (const [name, content] of Object.entries(files)) await put(join(work, name), content)
    await git(work, 'add', '-A')
    await git(work, 'commit', '-q', '--allow-empty', '-m', message)
    await git(work, 'push', '-q', ...(force === true ? ['--force'] : []), bare, `HEAD:refs/heads/${branch}`)
    return git(work, 'rev-parse', 'HEAD')
  }
  return { bare, commit, git: (...args) => git(work, ...args) }
}

async function put(path: string, content: string | Buffer | null): Promise<void> {
  if (content === null) return rm(path)
  await mkdir(dirname(path), { recursive: true })
  if (typeof content === 'string' && content.startsWith('-> ')) return symlink(content.slice(3), path)
  await writeFile(path, content)
}
