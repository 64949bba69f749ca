import { isUtf8 } from 'node:buffer'
import { type Dirent, lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import type { DockerIgnore } from '../../lib/docker-ignore.ts'
import { messageOf, systemCodeOf } from '../../lib/errors.ts'
import { CliError } from '../cli-error.ts'
import { type GitKnowledge, type IgnoreLevel, isIgnored, readPatterns } from './git-work-tree.ts'

/** One thing to pack. */
export interface FolderEntry {
  kind: 'file' | 'directory' | 'symlink'
  /** Relative, with slashes. */
  name: string
  /** Where it is on this machine. */
  path: string
  size: number
  mode: number
  mtime_ms: number
  /** Of a symlink. */
  target?: string
}

/** What is packed of a folder. */
export interface Selection {
  root: string
  git: GitKnowledge
  docker: DockerIgnore | undefined
  /** Told of what is left out although no ignore file says so. */
  onSkip: (name: string, reason: string) => void
}

interface Place {
  /** Relative to the root: `''` or `a/b/`, as it is written and as latin1 text of its bytes. */
  name: string
  bytes: string
  levels: readonly IgnoreLevel[]
  /** Only what Git tracks counts here, because a pattern excludes the folder. */
  trackedOnly: boolean
  /** Folders above that are not packed unless something in them is. */
  pending: FolderEntry[]
}

/** What is packed of a folder, in a fixed order, each folder before what is in it. `.git` never is. */
export function* walkFolder(selection: Selection): Generator<FolderEntry, void, undefined> {
  yield* walk(selection, {
    name: '',
    bytes: '',
    levels: selection.git.levels,
    trackedOnly: false,
    pending: [],
  })
}

function* walk(selection: Selection, place: Place): Generator<FolderEntry, void, undefined> {
  const { root, git } = selection
  const base = `${git.prefix}${place.bytes}`
  const patterns = place.trackedOnly ? [] : readPatterns(join(root, place.name, '.gitignore'))
  const levels = patterns.length > 0 ? [...place.levels, { base, patterns }] : place.levels
  for (const dirent of list(selection, place)) {
    const latin1 = dirent.name.toString('latin1')
    if (latin1 === '.git') continue
    const bytes = `${place.bytes}${latin1}`
    const isFolder = dirent.isDirectory()
    const ignored = place.trackedOnly || isIgnored(levels, `${git.prefix}${bytes}`, isFolder)
    if (ignored && !(isFolder ? git.trackedFolders : git.tracked).has(bytes)) continue
    const name = `${place.name}${dirent.name.toString()}`
    const excluded = selection.docker?.excludes(name) ?? false
    if (excluded && !(isFolder && selection.docker?.mayIncludeBelow(name))) continue
    if (!isUtf8(dirent.name))
      throw new CliError(
        `the name of ${join(root, name)} is not valid UTF-8: rename it, or leave it out with .gitignore`,
      )
    const entry = describe(selection, name)
    if (!entry) continue
    if (entry.kind !== 'directory') {
      yield* place.pending.splice(0)
      yield entry
      continue
    }
    const inside = {
      name: `${name}/`,
      bytes: `${bytes}/`,
      levels,
      trackedOnly: ignored,
      pending: place.pending,
    }
    if (excluded || ignored) {
      place.pending.push(entry)
    } else {
      yield* place.pending.splice(0)
      yield entry
    }
    yield* walk(selection, inside)
    if (place.pending.at(-1) === entry) place.pending.pop()
  }
}

function list({ root, onSkip }: Selection, place: Place): Dirent<Buffer>[] {
  const path = join(root, place.name)
  try {
    const all = readdirSync(path, { withFileTypes: true, encoding: 'buffer' })
    return all.toSorted((one, other) => Buffer.compare(one.name, other.name))
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' && place.name !== '') {
      onSkip(place.name, 'it vanished')
      return []
    }
    throw unreadable(path, error)
  }
}

/** Says which file stands in the way, and how to go on without it. */
export function unreadable(path: string, error: unknown): CliError {
  return new CliError(`cannot read ${path}: ${messageOf(error)}`, {
    hints: ['Make it readable, or leave it out with .gitignore or .dockerignore.'],
    cause: error,
  })
}

function describe({ root, onSkip }: Selection, name: string): FolderEntry | undefined {
  const path = join(root, name)
  let status: Stats
  try {
    status = lstatSync(path)
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw unreadable(path, error)
    onSkip(name, 'it vanished')
    return undefined
  }
  const common = { name, path, mode: status.mode & 0o777 }
  if (status.isFile()) return { ...common, kind: 'file', size: status.size, mtime_ms: status.mtimeMs }
  // Their own times change with whatever else happens in them, and nothing depends on them.
  if (status.isDirectory()) return { ...common, kind: 'directory', size: 0, mtime_ms: 0 }
  if (status.isSymbolicLink()) return describeLink(root, name, path)
  onSkip(name, 'it is neither file, folder nor link')
  return undefined
}

function describeLink(root: string, name: string, path: string): FolderEntry {
  const target = readlinkSync(path, { encoding: 'buffer' })
  if (!isUtf8(target)) throw new CliError(`${name} is a link whose target is not valid UTF-8`)
  const text = target.toString()
  if (text.startsWith('/') || leadsOut(root, name, text)) {
    throw new CliError(`${name} is a link to ${text}, which is outside of the folder`, {
      hints: ['Replace the link by what it points to, or leave it out with .gitignore or .dockerignore.'],
    })
  }
  return { kind: 'symlink', name, path, size: 0, mode: 0o777, mtime_ms: 0, target: text }
}

/** What Linux follows at most (path_resolution(7)). */
const MOST_LINKS = 40

/** Whether following the link, and the links on its way, leaves the root. */
function leadsOut(root: string, name: string, target: string): boolean {
  const at = name.split('/').slice(0, -1)
  const rest = target.split('/')
  let links = 0
  while (rest.length > 0 && links <= MOST_LINKS) {
    const segment = rest.shift()
    if (segment === undefined || segment === '' || segment === '.') continue
    if (segment === '..') {
      if (at.pop() === undefined) return true
      continue
    }
    const next = linkAt(join(root, ...at, segment))
    if (next === undefined) at.push(segment)
    else {
      if (next.startsWith('/')) return true
      links += 1
      rest.unshift(...next.split('/'))
    }
  }
  return false
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    // No link, or nothing there: the name counts as it stands.
    return undefined
  }
}
