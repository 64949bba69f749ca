import type { ErrorDetail } from '../../lib/errors.ts'
import { readGitRef } from '../../lib/git-ref.ts'
import { normalizeRelativePath } from '../../lib/relative-path.ts'
import { BadRepositoryUrl, readRepositoryUrl } from '../../lib/repository-url.ts'
import type { SourceInput } from './service-input-schema.ts'
import type { ServiceSource } from './service-schema.ts'

/** How one kind of source is read from what was sent. */
interface SourceKind {
  /** The fields that belong to it, besides its type. */
  fields: readonly (keyof SourceInput)[]
  /** Reads what was sent in full: a source is replaced as a whole. What is wrong is added to the problems. */
  read: (sent: SourceInput, problems: ErrorDetail[]) => ServiceSource
}

const KINDS: Partial<Record<SourceInput['type'], SourceKind>> = {
  upload: { fields: [], read: () => ({ type: 'upload' }) },
  git: {
    fields: ['repo_url', 'git_ref', 'submodules', 'dockerfile_path', 'context_path'],
    read: readGitSource,
  },
}

/** Whether this version knows the kind of source that was sent. */
export function isSupported(sent: SourceInput): boolean {
  return KINDS[sent.type] !== undefined
}

/** The source that was sent, or the one that there is when none was. What is wrong is added to the problems. */
export function readSource(
  base: ServiceSource,
  sent: SourceInput | undefined,
  problems: ErrorDetail[],
): ServiceSource {
  const kind = sent && KINDS[sent.type]
  if (!kind) return base
  const foreign = Object.keys(sent).filter(
    (field) => field !== 'type' && !kind.fields.some((own) => own === field),
  )
  for (const field of foreign)
    problems.push({ field: `source.${field}`, message: `does not belong to a source of type ${sent.type}` })
  return kind.read(sent, problems)
}

function readGitSource(sent: SourceInput, problems: ErrorDetail[]): ServiceSource {
  const { git_ref = null, submodules = false } = sent
  if (readGitRef(git_ref) === undefined)
    problems.push({ field: 'source.git_ref', message: 'cannot be the name of a branch, a tag or a commit' })
  return {
    type: 'git',
    repo_url: readUrl(sent.repo_url, problems),
    git_ref: git_ref === '' ? null : git_ref,
    submodules,
    ...readPaths(sent, problems),
  }
}

function readUrl(sent: string | undefined, problems: ErrorDetail[]): string {
  if (sent === undefined) {
    problems.push({ field: 'source.repo_url', message: 'is required' })
    return ''
  }
  try {
    // Whether http is allowed is for the node to say when it is deployed.
    return readRepositoryUrl(sent, true).text
  } catch (error) {
    if (!(error instanceof BadRepositoryUrl)) throw error
    problems.push({ field: 'source.repo_url', message: error.message })
    return ''
  }
}

function readPaths(
  sent: SourceInput,
  problems: ErrorDetail[],
): Pick<SourceInput, 'dockerfile_path' | 'context_path'> {
  const paths: Pick<SourceInput, 'dockerfile_path' | 'context_path'> = {}
  for (const field of ['dockerfile_path', 'context_path'] as const) {
    const given = sent[field]
    if (given === undefined) continue
    const path = normalizeRelativePath(given)
    if (path === undefined || path === '')
      problems.push({
        field: `source.${field}`,
        message: 'must be a path inside the repository: relative, without .. and control characters',
      })
    else paths[field] = path
  }
  return paths
}
