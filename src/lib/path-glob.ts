import { compileGlob, type GlobMatch, type GlobPart } from './glob.ts'

/**
 * A pattern of paths or names with slashes: `*` is anything but a slash, `**` anything, `?` one character. A pattern that ends in a slash
 * means all that is below it.
 */
export function pathGlob(pattern: string): GlobMatch {
  const trimmed = pattern.replace(/^\/+/, '')
  return compileGlob(readParts(trimmed.endsWith('/') ? `${trimmed}**` : trimmed))
}

/** Whether a path is chosen by patterns: by one of them, or by any if all exclude, and by none that excludes (`!docs/**`). */
export function pathChoice(patterns: readonly string[]): GlobMatch {
  const excluded = patterns.filter((each) => each.startsWith('!')).map((each) => pathGlob(each.slice(1)))
  const wanted = patterns.filter((each) => !each.startsWith('!')).map(pathGlob)
  return (path) =>
    (wanted.length === 0 || wanted.some((matches) => matches(path))) &&
    !excluded.some((matches) => matches(path))
}

function readParts(pattern: string): GlobPart[] {
  const parts: GlobPart[] = []
  for (const [token] of pattern.matchAll(/\*\*\/|\*\*|\*|\?|[^*?]+/g)) {
    if (token === '**/' && (parts.length === 0 || endsInSlash(parts))) parts.push({ kind: 'folders' })
    else if (token === '**/') parts.push({ kind: 'all' }, { kind: 'text', text: '/' })
    else if (token === '**') parts.push({ kind: 'all' })
    else if (token === '*') parts.push({ kind: 'many' })
    else if (token === '?') parts.push({ kind: 'one' })
    else parts.push({ kind: 'text', text: token })
  }
  return parts
}

function endsInSlash(parts: readonly GlobPart[]): boolean {
  const last = parts.at(-1)
  return last?.kind === 'folders' || (last?.kind === 'text' && last.text.endsWith('/'))
}
