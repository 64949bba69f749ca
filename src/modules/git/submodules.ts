import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { runGit } from './git-command.ts'
import { GitCommandFailed, gitFailed, showText } from './git-failure.ts'
import { BadRepositoryUrl, readSubmoduleUrl, type RepositoryUrl } from '../../lib/repository-url.ts'
import type { Repository, SourceTree } from './source-tree.ts'

export interface Submodule {
  path: string
  commit: string
  url: RepositoryUrl
}

/** Of .gitmodules, as git lists it. */
const MAX_BYTES = 1024 * 1024

const LIMITS = { memory_bytes: 2 * 1024 ** 3, file_bytes: 0 }

/**
 * Where the submodules of a commit come from. The tree says which there are and at which commits; .gitmodules only gives their URLs, each
 * of which must pass like any other. Throws when one has none.
 */
export async function listSubmodules(
  repository: Repository,
  commit: string,
  tree: SourceTree,
  parent: RepositoryUrl,
  allowHttp: boolean,
): Promise<Submodule[]> {
  if (tree.submodules.length === 0) return []
  const urls = await readUrls(repository, commit)
  return tree.submodules.map(({ path, commit: wanted }) => {
    const text = urls.get(path)
    if (text === undefined) throw gitFailed(`The submodule ${showText(path)} has no URL in .gitmodules.`)
    try {
      return { path, commit: wanted, url: readSubmoduleUrl(text, parent, allowHttp) }
    } catch (error) {
      if (!(error instanceof BadRepositoryUrl)) throw error
      throw gitFailed(
        `The URL of the submodule ${showText(path)} ${error.message}: ${showText(text)}.`,
        error,
      )
    }
  })
}

/** URLs by path. git itself reads the file, from the commit and not from the disk. */
async function readUrls(repository: Repository, commit: string): Promise<Map<string, string>> {
  const values = new Map<string, { path?: string; url?: string }>()
  for (const entry of (await readConfigFile(repository, commit)).split('\0')) {
    const [key = '', ...rest] = entry.split('\n')
    const [, name, field] = /^submodule\.(.*)\.(path|url)$/s.exec(key) ?? []
    if (name !== undefined) values.set(name, { ...values.get(name), [field ?? '']: rest.join('\n') })
  }
  return new Map(
    [...values.values()].flatMap(({ path, url }) =>
      path === undefined || url === undefined ? [] : [[path, url]],
    ),
  )
}

async function readConfigFile(repository: Repository, commit: string): Promise<string> {
  const read: Buffer[] = []
  let bytes = 0
  try {
    await runGit({
      args: ['config', '-z', '--no-includes', `--blob=${commit}:.gitmodules`, '--list'],
      cwd: repository.folder,
      env: repository.env,
      limits: LIMITS,
      signal: repository.signal,
      onOutput: (chunk) => {
        bytes += chunk.length
        if (bytes <= MAX_BYTES) read.push(chunk)
      },
    })
  } catch (error) {
    if (!(error instanceof GitCommandFailed)) throw error
    throw gitFailed('The repository has submodules but no .gitmodules that git can read.', error)
  }
  if (bytes > MAX_BYTES) throw gitFailed(`What .gitmodules says takes more than ${MAX_BYTES} bytes.`)
  return Buffer.concat(read).toString()
}

/** The folder of a submodule inside the checked-out source: git made it, and no link may lead to it. */
export async function submoduleFolder(source: string, path: string): Promise<string> {
  let folder = source
  for (const name of path.split('/')) {
    folder = join(folder, name)
    if (!(await lstat(folder)).isDirectory())
      throw gitFailed(`The submodule ${showText(path)} does not lie in a folder of the repository.`)
  }
  return folder
}
