/** What is to be deployed of a repository. */
export type GitRef =
  /** Whatever the repository says: usually `main`. */
  | { kind: 'default' }
  | { kind: 'commit'; commit: string }
  /** A whole name, such as `refs/pull/7/head`. */
  | { kind: 'full'; name: string }
  /** A branch or, when there is none of this name, a tag. */
  | { kind: 'name'; name: string }

export const MAX_REF_LENGTH = 255
const COMMIT = /^([0-9a-f]{40}|[0-9a-f]{64})$/
/** What git-check-ref-format(1) forbids anywhere: control characters, space, ~ ^ : ? * [ \, two dots, @{, two slashes. */
const FORBIDDEN = /[\p{Cc} ~^:?*[\\]|\.\.|@\{|\/\//u

/** Reads a ref; undefined when no ref can be called so. Null and empty text mean the default branch. */
export function readGitRef(text: string | null): GitRef | undefined {
  if (text === null || text === '' || text === 'HEAD') return { kind: 'default' }
  if (COMMIT.test(text)) return { kind: 'commit', commit: text }
  if (!isRefName(text)) return undefined
  return text.startsWith('refs/') ? { kind: 'full', name: text } : { kind: 'name', name: text }
}

/** Whether git takes this as the name of a branch, a tag or any other ref (git-check-ref-format(1)). */
export function isRefName(text: string): boolean {
  if (text.length > MAX_REF_LENGTH || !text.isWellFormed() || FORBIDDEN.test(text)) return false
  // A leading hyphen could be taken for an option.
  if (text === '@' || text.startsWith('-') || text.startsWith('/') || /[./]$/.test(text)) return false
  return text.split('/').every((part) => !part.startsWith('.') && !part.endsWith('.lock'))
}

/** The names under which a server may have the ref, the first being preferred. */
export function candidatesOf(ref: Exclude<GitRef, { kind: 'commit' }>): string[] {
  switch (ref.kind) {
    case 'default':
      return ['HEAD']
    case 'full':
      return [ref.name]
    case 'name':
      return [`refs/heads/${ref.name}`, `refs/tags/${ref.name}`]
  }
}

/** A ref for people. */
export function describeRef(ref: GitRef): string {
  switch (ref.kind) {
    case 'default':
      return 'the default branch'
    case 'commit':
      return `commit ${ref.commit.slice(0, 12)}`
    case 'full':
    case 'name':
      return ref.name
  }
}
