import type { Push } from './webhook-schema.ts'

const LONGEST = { ref: 255, repository: 500, branch: 255, author: 200, message: 4000, path: 2048 } as const
const MOST_PATHS = 3000
/** All paths together: they are stored with each delivery. */
const MOST_PATH_CHARACTERS = 64 * 1024
/** GitHub names no more commits than this in an event. */
const MOST_COMMITS = 2048
const COMMIT = /^([0-9a-f]{40}|[0-9a-f]{64})$/
const NOTHING = /^0+$/

type Fields = Readonly<Record<string, unknown>>

/** Reads a push of GitHub, GitLab, Gitea or Forgejo; undefined when it is none. Nothing in it is trusted to have the right type or size. */
export function readPush(payload: unknown): Push | undefined {
  const body = fieldsOf(payload)
  const ref = textOf(body['ref'], LONGEST.ref)
  const after = textOf(body['after'], 64)
  if (ref === null || !ref.startsWith('refs/') || after === null) return undefined
  const commits = listOf(body['commits']).map(fieldsOf)
  const head = fieldsOf(body['head_commit'])
  // The push of an annotated tag names the tag itself in `after`.
  const commit = commitOf(body['checkout_sha']) ?? commitOf(head['id']) ?? commitOf(after)
  const newest =
    head['id'] === undefined ? (commits.find(({ id }) => id === commit) ?? commits.at(-1) ?? {}) : head
  // GitLab calls it a project.
  const repository = { ...fieldsOf(body['repository']), ...fieldsOf(body['project']) }
  const deleted = body['deleted'] === true || NOTHING.test(after)
  return {
    ref,
    commit: deleted ? null : commit,
    repository:
      textOf(repository['path_with_namespace'] ?? repository['full_name'], LONGEST.repository) ?? '',
    default_branch: textOf(repository['default_branch'], LONGEST.branch),
    author: textOf(fieldsOf(newest['author'])['name'] ?? body['user_name'], LONGEST.author),
    message: textOf(newest['message'], LONGEST.message, true),
    paths: isWhole(body, commits.length) ? pathsOf(commits) : null,
  }
}

/** Whether the commits of the event are all that there is between what was and what is. */
function isWhole(body: Fields, commits: number): boolean {
  const total = body['total_commits_count'] ?? body['total_commits']
  if (typeof total === 'number' && total > commits) return false
  const before = textOf(body['before'], 64) ?? ''
  return (
    commits > 0 &&
    commits < MOST_COMMITS &&
    body['forced'] !== true &&
    COMMIT.test(before) &&
    !NOTHING.test(before)
  )
}

function pathsOf(commits: readonly Fields[]): string[] | null {
  const paths = new Set<string>()
  let characters = 0
  for (const commit of commits) {
    for (const kind of ['added', 'modified', 'removed']) {
      if (!Array.isArray(commit[kind])) return null
      for (const path of listOf(commit[kind])) {
        if (typeof path !== 'string' || path.length > LONGEST.path) return null
        if (paths.has(path)) continue
        paths.add(path)
        characters += path.length
        if (paths.size > MOST_PATHS || characters > MOST_PATH_CHARACTERS) return null
      }
    }
  }
  return [...paths]
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

function commitOf(value: unknown): string | null {
  return typeof value === 'string' && COMMIT.test(value) && !NOTHING.test(value) ? value : null
}

/** Text without control characters, of a bounded length; what is too long is cut only where that does no harm. */
function textOf(value: unknown, longest: number, cut = false): string | null {
  if (typeof value !== 'string' || value === '') return null
  if (value.length > longest && !cut) return null
  return value
    .slice(0, longest)
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (found) => (found === '\n' ? '\n' : ' '))
}
