import { posix } from 'node:path'
import { compileGlob, type GlobMatch, type GlobPart } from './glob.ts'

/** What a `.dockerignore` says about the files of a build context. Paths are relative, with slashes. */
export interface DockerIgnore {
  /** Whether the path is left out, by its own name or by that of a folder above it. */
  excludes(path: string): boolean
  /** Whether something below an excluded folder may be wanted all the same. */
  mayIncludeBelow(folder: string): boolean
}

interface Rule {
  keeps: boolean
  /** The folders in front of the first wildcard; all of the pattern when there is none. */
  literal: string
  /** How many names a path has that the pattern matches; more than any path when that is open. */
  depth: number
  wild: boolean
  matches: GlobMatch
}

/**
 * Reads a `.dockerignore` as the Docker command does: patterns are rooted at the context, the last that matches wins, `!` takes back.
 * Throws an Error that names a line that cannot be read.
 */
export function parseDockerIgnore(text: string): DockerIgnore {
  const lines = text.replace(/^\uFEFF/, '').split('\n')
  const rules = lines.flatMap((line, index) => {
    try {
      return readRule(line)
    } catch (error) {
      throw new Error(`.dockerignore:${index + 1}: ${(error as Error).message}`, { cause: error })
    }
  })
  const exceptions = rules.filter(({ keeps }) => keeps)
  return {
    excludes: (path) => {
      const candidates = withParents(path)
      let excluded = false
      for (const rule of rules) {
        if (excluded === rule.keeps && candidates.some((each) => rule.matches(each))) excluded = !rule.keeps
      }
      return excluded
    },
    mayIncludeBelow: (folder) =>
      exceptions.some(
        ({ literal, wild, depth }) =>
          isBelow(literal, folder) ||
          (wild && depth > depthOf(folder) && (literal === '' || isBelow(folder, literal))),
      ),
  }
}

function depthOf(path: string): number {
  return path.split('/').length
}

/** `a/b/c` with the folders that it lies in: a pattern that matches one of them matches all that is in it. */
function withParents(path: string): string[] {
  const all: string[] = []
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1))
    all.push(path.slice(0, slash))
  return [...all, path]
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`)
}

function readRule(line: string): Rule[] {
  if (line.startsWith('#')) return []
  const trimmed = line.trim()
  if (trimmed === '') return []
  const keeps = trimmed.startsWith('!')
  const given = keeps ? trimmed.slice(1).trim() : trimmed
  if (given === '') throw new Error('"!" without a pattern')
  const cleaned = posix.normalize(given).replace(/(?<=.)\/$/, '')
  const pattern = cleaned.length > 1 ? cleaned.replace(/^\//, '') : cleaned
  const parts = readPattern(pattern)
  const firstWild = pattern.search(/[*?[\\]/)
  const literal =
    firstWild === -1 ? pattern : pattern.slice(0, Math.max(0, pattern.lastIndexOf('/', firstWild)))
  const depth = pattern.includes('**') ? Number.POSITIVE_INFINITY : depthOf(pattern)
  return [{ keeps, literal, depth, wild: firstWild !== -1, matches: compileGlob(parts) }]
}

/** The dialect of the Docker command: Go's filepath.Match, and `**` for any number of folders. */
function readPattern(pattern: string): GlobPart[] {
  const parts: GlobPart[] = []
  const addText = (text: string): void => {
    const last = parts.at(-1)
    if (last?.kind === 'text') last.text += text
    else parts.push({ kind: 'text', text })
  }
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern.charAt(at)
    if (character === '*' && pattern[at + 1] === '*') {
      at += 1
      const isSuffix = at === 1 && !/^\/|[*?[\]\\]/.test(pattern.slice(2))
      // `**/` may stand for no folder at all; `**` at the end, and `**.suffix`, for anything.
      if (pattern[at + 1] === '/') at += 1
      parts.push({ kind: isSuffix || at + 1 === pattern.length ? 'all' : 'folders' })
    } else if (character === '*') parts.push({ kind: 'many' })
    else if (character === '?') parts.push({ kind: 'one' })
    else if (character === '[') {
      const set = readSet(pattern, at)
      parts.push(set.part)
      at = set.end
    } else if (character === '\\') {
      at += 1
      if (at === pattern.length) throw new Error('a backslash at the end of the pattern')
      addText(pattern.charAt(at))
    } else addText(character)
  }
  return parts
}

function readSet(pattern: string, start: number): { part: GlobPart; end: number } {
  let at = start + 1
  const negated = pattern[at] === '^'
  if (negated) at += 1
  const ranges: [number, number][] = []
  const readOne = (): number => {
    if (pattern[at] === '\\') at += 1
    if (at >= pattern.length) throw new Error('"[" without "]"')
    const code = pattern.charCodeAt(at)
    at += 1
    return code
  }
  while (pattern[at] !== ']' || ranges.length === 0) {
    const first = readOne()
    let last = first
    if (pattern[at] === '-' && pattern[at + 1] !== ']') {
      at += 1
      last = readOne()
    }
    ranges.push([first, last])
  }
  return { part: { kind: 'set', negated, ranges }, end: at }
}
