import { pathChoice, pathGlob } from '../../lib/path-glob.ts'
import { readRepositoryUrl, repositoryName } from '../../lib/repository-url.ts'
import type { ServiceSummary } from '../services/service-schema.ts'
import type { Push, PushFilter } from './webhook-schema.ts'

/** What is to become of a push. */
export type Verdict = { deploy: true; commit: string } | { deploy: false; reason: string }

const MARKER = /\[(skip ci|ci skip|no ci|skip deploy|deploy skip|no deploy|skip berth|berth skip)\]/i

/** Decides about a push: pure, so that a replay with other filters decides anew. */
export function judgePush(
  push: Push,
  filter: PushFilter,
  service: Pick<ServiceSummary, 'source' | 'desired_state'>,
): Verdict {
  const { source } = service
  if (source.type !== 'git') return skip(`the service has a source of type ${source.type}`)
  if (service.desired_state !== 'running') return skip('the service is stopped')
  if (!isSameRepository(source.repo_url, push.repository))
    return skip(`it is about the repository ${push.repository}`)
  if (push.commit === null) return skip(`${push.ref} was deleted`)
  const refused = refuseRef(push, filter, source.git_ref)
  if (refused !== undefined) return skip(refused)
  const marker = filter.skip_markers ? MARKER.exec(push.message ?? '')?.[0] : undefined
  if (marker !== undefined) return skip(`the commit says ${marker}`)
  // An event that does not tell all files might leave out the one that matters.
  if (filter.paths.length > 0 && push.paths !== null && !push.paths.some(pathChoice(filter.paths)))
    return skip('no file changed that the paths of the webhook name')
  return { deploy: true, commit: push.commit }
}

function skip(reason: string): Verdict {
  return { deploy: false, reason }
}

/** A webhook of a whole organisation tells of all its repositories. The path of ours may have more in front: of a forge below a path. */
function isSameRepository(url: string, pushed: string): boolean {
  const ours = repositoryName(readRepositoryUrl(url, true)).toLowerCase()
  const theirs = pushed.toLowerCase()
  return ours === theirs || ours.endsWith(`/${theirs}`)
}

function refuseRef(push: Push, filter: PushFilter, gitRef: string | null): string | undefined {
  const tag = /^refs\/tags\/(.*)$/s.exec(push.ref)?.[1]
  if (tag !== undefined)
    return matchesAny(filter.tags, tag) ? undefined : `the tag ${tag} is not among the tags of the webhook`
  const branch = /^refs\/heads\/(.*)$/s.exec(push.ref)?.[1]
  if (branch === undefined) return `${push.ref} is neither a branch nor a tag`
  const branches = filter.branches ?? [
    (gitRef ?? push.default_branch ?? 'main').replace(/^refs\/heads\//, ''),
  ]
  return matchesAny(branches, branch) ? undefined : `the branch ${branch} is not deployed`
}

function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => pattern === name || pathGlob(pattern)(name))
}
