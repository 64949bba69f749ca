import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createAddressRule } from '../../../src/lib/address-rule.ts'
import { createSystem } from '../../../src/lib/system.ts'
import {
  createGitSource,
  type GitSourceRequest,
  type GitSourceResult,
} from '../../../src/modules/git/git-source.ts'
import type { HostKey, OpenedCredential } from '../../../src/modules/git/remote.ts'
import { hostLabel, type RepositoryUrl } from '../../../src/lib/repository-url.ts'
import { type Authority, makeAuthority } from '../../support/git-https-server.ts'
import { openRepositoryRoot, type RepositoryRoot } from '../../support/git-repository.ts'

export interface GitWorld {
  repositories: RepositoryRoot
  authority: Authority
  /** Credentials by host. */
  credentials: Map<string, OpenedCredential>
  hostKeys: Map<string, HostKey>
  log: string[]
  /** Fetches into a new folder and answers it too. */
  fetch(
    request: Partial<GitSourceRequest> & { repo_url: string },
    settings?: Partial<Settings>,
  ): Promise<GitSourceResult & { folder: string }>
  /** Fetches, and answers the sentence with which that is refused. */
  refusal(
    request: Partial<GitSourceRequest> & { repo_url: string },
    settings?: Partial<Settings>,
  ): Promise<string>
  /** What lies in the folders of jobs that are over. */
  leftovers(): Promise<string[]>
}

export interface Settings {
  git_allow_http: boolean
  git_ca_file: string | undefined
  git_stall_seconds: number
  git_max_bytes: number
  git_timeout_seconds: number
  unpacked_max_bytes: number
  unpacked_max_entries: number
  git_private_ranges: readonly string[]
}

const MIB = 1024 ** 2

/** Repositories, an authority and a git client with everything that it asks for in memory. */
export async function openGitWorld(t: Test): Promise<GitWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-fetch-'))
  const [repositories, authority] = await Promise.all([openRepositoryRoot(), makeAuthority()])
  t.teardown(async () => {
    await Promise.all([
      repositories.remove(),
      authority.remove(),
      rm(folder, { recursive: true, force: true }),
    ])
  })
  const credentials = new Map<string, OpenedCredential>()
  const hostKeys = new Map<string, HostKey>()
  const log: string[] = []
  let count = 0
  const work = join(folder, 'work')
  await mkdir(work)
  const fetch: GitWorld['fetch'] = async (request, settings) => {
    const source_dir = join(folder, `source-${(count += 1)}`)
    await mkdir(source_dir)
    const result = await sourceOf(settings).fetch({
      project_id: 'project',
      git_ref: null,
      submodules: false,
      context_path: null,
      source_dir,
      work_dir: join(work, String(count)),
      log: (line) => log.push(line),
      signal: new AbortController().signal,
      ...request,
    })
    return { ...result, folder: source_dir }
  }
  const sourceOf = (changes: Partial<Settings> = {}) => {
    const settings = {
      git_allow_http: false,
      git_ca_file: authority.file,
      git_stall_seconds: 30,
      git_max_bytes: 100 * MIB,
      git_timeout_seconds: 120,
      unpacked_max_bytes: 100 * MIB,
      unpacked_max_entries: 1000,
      git_private_ranges: ['127.0.0.0/8', '::1'],
      ...changes,
    }
    return createGitSource({
      system: createSystem(),
      addresses: createAddressRule(settings.git_private_ranges),
      trust: {
        credentialFor: async (_project: string, url: RepositoryUrl) => credentials.get(hostLabel(url)),
        findHostKey: (_project, host) => hostKeys.get(host),
        pinHostKey: (_project, host, key) => {
          if (!hostKeys.has(host)) hostKeys.set(host, key)
          return hostKeys.get(host) ?? key
        },
      },
      settings,
    })
  }
  return {
    repositories,
    authority,
    credentials,
    hostKeys,
    log,
    fetch,
    refusal: async (request, settings) => {
      try {
        await fetch(request, settings)
      } catch (error) {
        if (error instanceof Error) return error.message
        throw error
      }
      return 'it was not refused'
    },
    leftovers: () => readdir(work),
  }
}
