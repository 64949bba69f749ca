/** A part of a compiled pattern of paths. Dialects (.gitignore, .dockerignore) differ in how they are read, not in these parts. */
export type GlobPart =
  | { kind: 'text'; text: string }
  /** One character of a set; a slash never counts. */
  | { kind: 'set'; negated: boolean; ranges: readonly (readonly [first: number, last: number])[] }
  /** One character, but no slash. */
  | { kind: 'one' }
  /** Any number of characters, but no slash. */
  | { kind: 'many' }
  /** Any number of characters. */
  | { kind: 'all' }
  /** Nothing, or whole folders with the slash behind them. */
  | { kind: 'folders' }

export type GlobMatch = (path: string) => boolean

/** With more of them a backtracking matcher could take ages over a path made for it. */
const FEW_WILDCARDS = 2

/** A function that tells whether a whole path matches the parts. Takes time in proportion to pattern and path, whatever they are. */
export function compileGlob(parts: readonly GlobPart[]): GlobMatch {
  const only = parts[0]
  if (parts.length === 1 && only?.kind === 'text') return (path) => path === only.text
  const wildcards = parts.filter(({ kind }) => kind === 'many' || kind === 'all' || kind === 'folders')
  if (wildcards.length > FEW_WILDCARDS) return (path) => matchStepwise(parts, path)
  const expression = new RegExp(`^${parts.map(toExpression).join('')}$`, 's')
  return (path) => expression.test(path)
}

function toExpression(part: GlobPart): string {
  switch (part.kind) {
    case 'text':
      return part.text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)
    case 'set':
      return setExpression(part)
    case 'one':
      return '[^/]'
    case 'many':
      return '[^/]*'
    case 'all':
      return '.*'
    default:
      return '(?:.*/)?'
  }
}

function setExpression({ negated, ranges }: Extract<GlobPart, { kind: 'set' }>): string {
  const unit = (code: number): string => String.raw`\u${code.toString(16).padStart(4, '0')}`
  const members = ranges
    .filter(([first, last]) => first <= last)
    .map(([first, last]) => `${unit(first)}-${unit(last)}`)
  // An empty set matches nothing, its negation any character.
  return negated ? `[^/${members.join('')}]` : `(?!/)[${members.join('')}]`
}

/** Follows all ways at once: `at[p]` says that some way has used up the first `p` characters. */
function matchStepwise(parts: readonly GlobPart[], path: string): boolean {
  let at = new Uint8Array(path.length + 1)
  at[0] = 1
  for (const part of parts) {
    const next = new Uint8Array(path.length + 1)
    step(part, path, at, next)
    if (!next.includes(1)) return false
    at = next
  }
  return at[path.length] === 1
}

function step(part: GlobPart, path: string, at: Uint8Array, next: Uint8Array): void {
  if (part.kind === 'text') {
    for (let p = at.indexOf(1); p !== -1; p = at.indexOf(1, p + 1)) {
      if (path.startsWith(part.text, p)) next[p + part.text.length] = 1
    }
    return
  }
  let reached = false
  for (let p = 0; p <= path.length; p += 1) {
    const before = p === 0 ? '' : path.charAt(p - 1)
    if (part.kind === 'one' || part.kind === 'set') {
      if (p > 0 && at[p - 1] === 1 && before !== '/' && (part.kind === 'one' || isMember(part, before)))
        next[p] = 1
    } else if (part.kind === 'folders') {
      if (at[p] === 1 || (reached && before === '/')) next[p] = 1
      reached ||= at[p] === 1
    } else {
      if (part.kind === 'many' && before === '/') reached = false
      reached ||= at[p] === 1
      if (reached) next[p] = 1
    }
  }
}

function isMember({ negated, ranges }: Extract<GlobPart, { kind: 'set' }>, character: string): boolean {
  const code = character.charCodeAt(0)
  return ranges.some(([first, last]) => first <= code && code <= last) !== negated
}
