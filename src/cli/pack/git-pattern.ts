import { compileGlob, type GlobMatch, type GlobPart } from '../../lib/glob.ts'

/** One line of a `.gitignore`. Names and patterns are bytes as latin1 text, because Git matches bytes. */
export interface GitPattern {
  /** `!`: takes back what an earlier line excluded. */
  negated: boolean
  /** Only folders are meant. */
  foldersOnly: boolean
  /** Whether it is matched against the path from the file's folder, not against the last name alone. */
  anchored: boolean
  matches: GlobMatch
}

/** Reads the patterns of a `.gitignore` or `info/exclude` (gitignore(5), "PATTERN FORMAT"). */
export function parseGitIgnore(content: Buffer): GitPattern[] {
  const text = content.toString('latin1').replace(/^\xEF\xBB\xBF/, '')
  return `${text}\n`.split(/\r?\n/).flatMap((line) => readLine(line) ?? [])
}

function readLine(line: string): GitPattern | undefined {
  if (line.startsWith('#')) return undefined
  let pattern = trimTrailingSpaces(line)
  if (pattern === '') return undefined
  const negated = pattern.startsWith('!')
  if (negated) pattern = pattern.slice(1)
  const foldersOnly = pattern.endsWith('/')
  if (foldersOnly) pattern = pattern.slice(0, -1)
  const anchored = pattern.includes('/')
  const parts = pattern === '' ? undefined : readPattern(pattern.replace(/^\//, ''), anchored)
  return { negated, foldersOnly, anchored, matches: parts ? compileGlob(parts) : () => false }
}

/** Spaces at the end do not count, but for one behind a backslash. */
function trimTrailingSpaces(line: string): string {
  let end = line.length
  while (end > 0 && line[end - 1] === ' ') end -= 1
  const backslashes = /\\*$/.exec(line.slice(0, end))?.[0].length ?? 0
  return line.slice(0, end < line.length && backslashes % 2 === 1 ? end + 1 : end)
}

/** The dialect of Git's wildmatch; undefined for a pattern that can match nothing. */
function readPattern(pattern: string, anchored: boolean): GlobPart[] | undefined {
  const parts: GlobPart[] = []
  const firstWildcard = pattern.search(/[*?[\\]/)
  let at = 0
  while (at < pattern.length) {
    const character = pattern.charAt(at)
    if (character === '*') {
      const end = endOfStars(pattern, at)
      // Git compares what stands before the first wildcard by itself, so to its matcher the pattern begins there.
      const begins = at === firstWildcard || pattern[at - 1] === '/'
      const stars = readStars(pattern, at, end, anchored && begins)
      parts.push(stars.part)
      at = stars.next
    } else if (character === '?') {
      parts.push({ kind: 'one' })
      at += 1
    } else if (character === '[') {
      const set = readSet(pattern, at)
      if (!set) return undefined
      parts.push(set.part)
      at = set.next
    } else {
      if (character === '\\') at += 1
      if (at === pattern.length) return undefined
      addText(parts, pattern.charAt(at))
      at += 1
    }
  }
  return parts
}

function addText(parts: GlobPart[], text: string): void {
  const last = parts.at(-1)
  if (last?.kind === 'text') last.text += text
  else parts.push({ kind: 'text', text })
}

function endOfStars(pattern: string, start: number): number {
  let at = start
  while (pattern[at] === '*') at += 1
  return at
}

/** Two stars or more stand for folders only where they are a whole name of the path. */
function readStars(
  pattern: string,
  start: number,
  end: number,
  mayBeFolders: boolean,
): { part: GlobPart; next: number } {
  if (!mayBeFolders || end - start < 2) return { part: { kind: 'many' }, next: end }
  if (pattern[end] === '/') return { part: { kind: 'folders' }, next: end + 1 }
  const isWholeName = end === pattern.length || pattern.startsWith('\\/', end)
  return { part: { kind: isWholeName ? 'all' : 'many' }, next: end }
}

const CLASSES: Readonly<Record<string, readonly [number, number][]>> = {
  alnum: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  alpha: [
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  blank: [
    [0x20, 0x20],
    [0x09, 0x09],
  ],
  cntrl: [
    [0x00, 0x1f],
    [0x7f, 0x7f],
  ],
  digit: [[0x30, 0x39]],
  graph: [[0x21, 0x7e]],
  lower: [[0x61, 0x7a]],
  print: [[0x20, 0x7e]],
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  space: [
    [0x09, 0x0d],
    [0x20, 0x20],
  ],
  upper: [[0x41, 0x5a]],
  xdigit: [
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ],
}

/** `[...]`; undefined when it does not end or names a class that there is not. */
function readSet(pattern: string, start: number): { part: GlobPart; next: number } | undefined {
  let at = start + 1
  const negated = pattern[at] === '!' || pattern[at] === '^'
  if (negated) at += 1
  const first = at
  const ranges: (readonly [number, number])[] = []
  while (at < pattern.length && (pattern[at] !== ']' || at === first)) {
    const named = /^\[:([^\]]*):\]/.exec(pattern.slice(at))
    if (named) {
      const known = CLASSES[named[1] ?? '']
      if (!known) return undefined
      ranges.push(...known)
      at += named[0].length
      continue
    }
    const from = readMember(pattern, at)
    at = from.next
    // Git has taken a range's first character by itself before it sees the range, which may run backwards.
    ranges.push([from.code, from.code])
    if (pattern[at] === '-' && at + 1 < pattern.length && pattern[at + 1] !== ']') {
      const to = readMember(pattern, at + 1)
      ranges.push([from.code, to.code])
      at = to.next
    }
  }
  return at < pattern.length ? { part: { kind: 'set', negated, ranges }, next: at + 1 } : undefined
}

function readMember(pattern: string, at: number): { code: number; next: number } {
  const escaped = pattern[at] === '\\' && at + 1 < pattern.length
  const position = escaped ? at + 1 : at
  return { code: pattern.charCodeAt(position), next: position + 1 }
}
