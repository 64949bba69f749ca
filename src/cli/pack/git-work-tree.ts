import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { LARGEST_INDEX, readTrackedPaths } from './git-index.ts'
import { type GitPattern, parseGitIgnore } from './git-pattern.ts'

/** The patterns of one ignore file. */
export interface IgnoreLevel {
  /** The folder that they are relative to, from the root of the work tree, as latin1 text: `''` or `a/b/`. */
  base: string
  patterns: readonly GitPattern[]
}

/** What Git knows of the folder that is packed. */
export interface GitKnowledge {
  /** Ignore files above the folder, and `info/exclude`; the first counts least. */
  levels: readonly IgnoreLevel[]
  /** Where the folder lies in the work tree: `''` or `a/b/`. */
  prefix: string
  /** What Git tracks below the folder: it is packed also where a pattern would exclude it. */
  tracked: ReadonlySet<string>
  /** The folders above what is tracked. */
  trackedFolders: ReadonlySet<string>
}

const NOTHING: GitKnowledge = { levels: [], prefix: '', tracked: new Set(), trackedFolders: new Set() }
const LARGEST_IGNORE_FILE = 16 * 1024 ** 2

/** Reads what applies to `folder` from the Git work tree that it lies in, if it lies in one. No program is run. */
export function readGitKnowledge(folder: string): GitKnowledge {
  const real = realpathSync(folder)
  const top = findTop(real)
  if (!top) return NOTHING
  const prefix = toLatin1(relative(top.root, real))
  const slashed = prefix === '' ? '' : `${prefix}/`
  const levels = [{ base: '', patterns: readPatterns(join(top.commonDirectory, 'info', 'exclude')) }]
  const names = prefix === '' ? [] : prefix.split('/')
  for (const [depth, name] of names.entries()) {
    const above = names.slice(0, depth)
    const base = above.map((each) => `${each}/`).join('')
    levels.push({ base, patterns: readPatterns(join(top.root, fromLatin1(base), '.gitignore')) })
    // Who names an ignored folder wants it packed; what lies above it has nothing to say then.
    if (isIgnored(levels, `${base}${name}`, true)) return { ...NOTHING, prefix: slashed }
  }
  return { levels, prefix: slashed, ...readTracked(top, slashed) }
}

interface Top {
  root: string
  /** `.git`, or what the file `.git` points to. */
  directory: string
  /** Shared by linked work trees. */
  commonDirectory: string
}

function findTop(folder: string): Top | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const directory = gitDirectory(at)
    if (directory !== undefined) {
      const common = readSmall(join(directory, 'commondir'))?.toString().trim()
      return { root: at, directory, commonDirectory: common ? resolve(directory, common) : directory }
    }
    if (dirname(at) === at) return undefined
  }
}

function gitDirectory(folder: string): string | undefined {
  const path = join(folder, '.git')
  try {
    if (statSync(path).isDirectory()) return lstatSync(join(path, 'HEAD')) && path
    const target = /^gitdir: (.+)$/m.exec(readSmall(path)?.toString() ?? '')?.[1]
    return target === undefined ? undefined : resolve(folder, target)
  } catch {
    return undefined
  }
}

function readTracked(
  { directory, commonDirectory }: Top,
  prefix: string,
): Pick<GitKnowledge, 'tracked' | 'trackedFolders'> {
  const config = readSmall(join(commonDirectory, 'config'))?.toString() ?? ''
  const hashBytes = /^\s*objectformat\s*=\s*sha256\s*$/im.test(config) ? 32 : 20
  const index = readSmall(join(directory, 'index'), LARGEST_INDEX)
  const paths = index ? (readTrackedPaths(index, hashBytes) ?? []) : []
  const tracked = new Set<string>()
  const trackedFolders = new Set<string>()
  for (const path of paths) {
    if (!path.startsWith(prefix)) continue
    const inside = path.slice(prefix.length)
    tracked.add(inside)
    let slash = inside.lastIndexOf('/')
    while (slash > 0 && !trackedFolders.has(inside.slice(0, slash))) {
      trackedFolders.add(inside.slice(0, slash))
      slash = inside.lastIndexOf('/', slash - 1)
    }
  }
  return { tracked, trackedFolders }
}

/** The patterns of an ignore file; none when it is not there. Throws when it cannot be read. */
export function readPatterns(path: string): GitPattern[] {
  const content = readSmall(path, LARGEST_IGNORE_FILE)
  return content ? parseGitIgnore(content) : []
}

/** Whether the patterns exclude the path (from the root of the work tree), when they exclude none of the folders above it. */
export function isIgnored(levels: readonly IgnoreLevel[], path: string, isFolder: boolean): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1)
  for (const { base, patterns } of levels.toReversed()) {
    const rest = path.slice(base.length)
    const found = patterns.findLast(
      (each) => (isFolder || !each.foldersOnly) && each.matches(each.anchored ? rest : name),
    )
    if (found) return !found.negated
  }
  return false
}

/** A regular file's contents; undefined when there is none at the path. Links are not followed, as Git does not follow them. */
function readSmall(path: string, most = LARGEST_IGNORE_FILE): Buffer | undefined {
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return undefined
    throw error
  }
  try {
    const status = fstatSync(descriptor)
    return status.isFile() && status.size <= most ? readFileSync(descriptor) : undefined
  } finally {
    closeSync(descriptor)
  }
}

function toLatin1(path: string): string {
  return Buffer.from(path).toString('latin1')
}

function fromLatin1(path: string): string {
  return Buffer.from(path, 'latin1').toString()
}
