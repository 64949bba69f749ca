import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type CommitFacts, readCommit } from './commit-facts.ts'
import { explainFailure, GitCommandFailed, gitFailed, showText } from './git-failure.ts'
import { describeRef, type GitRef, readGitRef } from '../../lib/git-ref.ts'
import { refuseLfs } from './lfs.ts'
import { openRemote, type Remote, type RemoteDeps } from './remote.ts'
import { fetchRepository } from './repository-fetch.ts'
import { BadRepositoryUrl, readRepositoryUrl, type RepositoryUrl } from '../../lib/repository-url.ts'
import { checkOut, readTree } from './source-tree.ts'
import { listSubmodules, submoduleFolder } from './submodules.ts'

export interface GitSourceDeps extends RemoteDeps {
  settings: RemoteDeps['settings'] & {
    git_max_bytes: number
    git_timeout_seconds: number
    unpacked_max_bytes: number
    unpacked_max_entries: number
  }
}

export interface GitSourceRequest {
  project_id: string
  repo_url: string
  /** A branch, a tag, a commit or `refs/...`; null: the default branch. */
  git_ref: string | null
  submodules: boolean
  /** The folder that will be built; null: all. */
  context_path: string | null
  /** Where the source goes: an empty folder. */
  source_dir: string
  /** A new folder for what is only needed meanwhile; it is gone afterwards. */
  work_dir: string
  log: (line: string) => void
  signal: AbortSignal
}

export interface GitSourceResult {
  commit: CommitFacts
  /** Files, links and submodules. */
  entries: number
  bytes: number
}

export interface GitSource {
  /**
   * Fetches one commit of a repository, without history and without a `.git`. Throws GIT_FAILED with a sentence for the deployment, or the
   * signal's reason. Nothing in the repository runs, and no link in it is followed.
   */
  fetch(request: GitSourceRequest): Promise<GitSourceResult>
}

const MAX_SUBMODULES = 50
const MAX_DEPTH = 5

/** What one fetch has left of its limits, its submodules included. */
interface Job {
  request: GitSourceRequest
  signal: AbortSignal
  fetchable_bytes: number
  entries: number
  bytes: number
  repositories: number
}

/** Brings the source of deployments from Git repositories. */
export function createGitSource(deps: GitSourceDeps): GitSource {
  const { settings, system } = deps

  const fetchInto = async (
    job: Job,
    url: RepositoryUrl,
    ref: GitRef,
    folder: string,
    depth: number,
  ): Promise<CommitFacts> => {
    const { request, signal } = job
    job.repositories += 1
    const remote = await openRemote(deps, {
      project_id: request.project_id,
      url,
      directory: join(request.work_dir, String(job.repositories)),
      log: request.log,
      signal,
    })
    try {
      const fetched = await fetchRepository(
        { system, stall_ms: settings.git_stall_seconds * 1000 },
        { remote, ref, max_bytes: job.fetchable_bytes, log: request.log, signal },
      )
      job.fetchable_bytes -= fetched.bytes
      const repository = { ...remote, signal }
      const commit = await readCommit(
        remote.folder,
        remote.env,
        { sha: fetched.commit, ref: fetched.ref },
        signal,
      )
      await writeSource(job, remote, commit, folder, depth)
      await rm(repository.folder, { recursive: true, force: true })
      return commit
    } catch (error) {
      throw error instanceof GitCommandFailed ? explainFailure(error, remote.facts) : error
    } finally {
      remote.close()
    }
  }

  const writeSource = async (
    job: Job,
    remote: Remote,
    commit: CommitFacts,
    folder: string,
    depth: number,
  ): Promise<void> => {
    const { request, signal } = job
    const repository = { folder: remote.folder, env: remote.env, signal }
    const tree = await readTree(repository, commit.sha, {
      max_entries: settings.unpacked_max_entries - job.entries,
      max_bytes: settings.unpacked_max_bytes - job.bytes,
    })
    job.entries += tree.entries
    job.bytes += tree.bytes
    await checkOut(repository, commit.sha, folder, settings.unpacked_max_bytes)
    await refuseLfs(folder, tree, depth === 0 ? request.context_path : null, signal)
    if (tree.submodules.length === 0) return
    if (!request.submodules) {
      request.log(
        `Leaving out ${tree.submodules.length} submodules; the service's source does not ask for them.`,
      )
      return
    }
    if (depth >= MAX_DEPTH || job.repositories + tree.submodules.length > MAX_SUBMODULES + 1)
      throw gitFailed(
        `The repository has more than ${MAX_SUBMODULES} submodules, or more than ${MAX_DEPTH} inside each other.`,
      )
    for (const submodule of await listSubmodules(
      repository,
      commit.sha,
      tree,
      remote.url,
      settings.git_allow_http,
    )) {
      request.log(`Fetching the submodule ${showText(submodule.path)} from ${submodule.url.text}.`)
      const target = await submoduleFolder(folder, submodule.path)
      await fetchInto(job, submodule.url, { kind: 'commit', commit: submodule.commit }, target, depth + 1)
    }
  }

  const fetch = async (request: GitSourceRequest, signal: AbortSignal): Promise<GitSourceResult> => {
    const { url, ref } = readRequest(request, settings.git_allow_http)
    request.log(`Fetching ${describeRef(ref)} of ${url.text}.`)
    await mkdir(request.work_dir, { recursive: true, mode: 0o700 })
    const job: Job = {
      request,
      signal,
      fetchable_bytes: settings.git_max_bytes,
      entries: 0,
      bytes: 0,
      repositories: 0,
    }
    const commit = await fetchInto(job, url, ref, request.source_dir, 0)
    const { entries, bytes } = job
    request.log(`Fetched commit ${commit.sha} by ${commit.author}: ${commit.message}`)
    request.log(`Checked out ${entries} files, ${bytes} bytes.`)
    return { commit, entries, bytes }
  }

  return {
    fetch: async (request) => {
      const overdue = new AbortController()
      const seconds = settings.git_timeout_seconds
      const cancelTimer = system.later(seconds * 1000, () =>
        overdue.abort(gitFailed(`Fetching took longer than ${seconds} s (setting git_timeout_seconds).`)),
      )
      try {
        return await fetch(request, AbortSignal.any([request.signal, overdue.signal]))
      } finally {
        cancelTimer()
        await rm(request.work_dir, { recursive: true, force: true })
      }
    },
  }
}

function readRequest(request: GitSourceRequest, allowHttp: boolean): { url: RepositoryUrl; ref: GitRef } {
  const ref = readGitRef(request.git_ref)
  if (ref === undefined)
    throw gitFailed(`${showText(request.git_ref ?? '')} cannot be the name of a branch or a tag.`)
  try {
    return { url: readRepositoryUrl(request.repo_url, allowHttp), ref }
  } catch (error) {
    if (!(error instanceof BadRepositoryUrl)) throw error
    throw gitFailed(`The URL of the repository ${error.message}.`, error)
  }
}
