import { dirname, join } from 'node:path'
import { AppError } from '../../../lib/errors.ts'
import { readGitRef } from '../../../lib/git-ref.ts'
import { BadRepositoryUrl, readRepositoryUrl } from '../../../lib/repository-url.ts'
import type { GitSource } from '../../git/git-source.ts'
import type { ReleaseSettings } from '../release-settings.ts'
import { DeploymentFailed } from '../steps/step.ts'
import type { SourceFetcher } from './source-fetch.ts'
import type { SourcePlanner } from './source-plan.ts'

export interface GitPlanDeps {
  settings: ReleaseSettings
  /** Whether the node fetches over plain http. */
  gitAllowsHttp: boolean
}

/** Plans deployments of the repository that a service names. */
export function createGitPlanner(deps: GitPlanDeps): SourcePlanner<'git'> {
  return async (service, { git_ref: asked, commit = null }) => {
    const { source } = service
    if (source.type !== 'git')
      throw new AppError('VALIDATION_ERROR', {
        details: [{ field: 'source.type', message: `the service has a source of type ${source.type}` }],
      })
    const git_ref = asked === undefined || asked === '' ? source.git_ref : asked
    if (readGitRef(git_ref) === undefined)
      throw new AppError('VALIDATION_ERROR', {
        details: [{ field: 'source.git_ref', message: 'cannot be the name of a branch, a tag or a commit' }],
      })
    refuseHttp(source.repo_url, deps.gitAllowsHttp)
    const build = deps.settings.buildFor(service, source)
    const settings = await deps.settings.snapshot(service)
    const { repo_url, submodules } = source
    return () => ({
      ...settings,
      source: { type: 'git', repo_url, git_ref, commit, submodules },
      build,
      skips: [],
    })
  }
}

function refuseHttp(url: string, allowHttp: boolean): void {
  try {
    readRepositoryUrl(url, allowHttp)
  } catch (error) {
    if (!(error instanceof BadRepositoryUrl)) throw error
    throw new AppError('POLICY_REFUSED', { details: [{ field: 'source.repo_url', message: error.message }] })
  }
}

/** Fetches from repositories. What is fetched again after a crash is the commit that was recorded, wherever its branch is by then. */
export function createGitFetcher({ fetchGit }: { fetchGit: GitSource['fetch'] }): SourceFetcher {
  return {
    gives: 'folder',
    fetch: async ({ deployment, signal, log }, directory) => {
      const { source, project_id, build, commit: recorded } = deployment
      if (source.type !== 'git') throw new DeploymentFailed('There is no repository to fetch.')
      const wanted = recorded?.sha ?? source.commit
      const { commit } = await fetchGit({
        project_id,
        repo_url: source.repo_url,
        git_ref: wanted ?? source.git_ref,
        submodules: source.submodules,
        context_path: build.context_path,
        source_dir: directory,
        work_dir: join(dirname(directory), 'git'),
        log,
        signal,
      })
      return {
        commit: { ...commit, ref: commit.ref ?? recorded?.ref ?? (wanted === null ? null : source.git_ref) },
      }
    },
  }
}
