import { isUtf8 } from 'node:buffer'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ChildLimits } from './child-process.ts'
import { runGit } from './git-command.ts'
import { gitFailed, showText } from './git-failure.ts'

export interface TreeLimits {
  max_entries: number
  max_bytes: number
}

/** What a commit holds, seen before anything of it is written. */
export interface SourceTree {
  entries: number
  bytes: number
  submodules: { path: string; commit: string }[]
  /** Files of attributes, which say whether Git LFS is used. */
  attribute_files: string[]
  /** Files that have the size of an LFS pointer. */
  small_files: string[]
}

export interface Repository {
  /** The bare repository. */
  folder: string
  env: Readonly<Record<string, string>>
  signal: AbortSignal
}

const MEMORY_BYTES = 4 * 1024 ** 3
const MAX_PATH_BYTES = 2048
const MAX_DEPTH = 100
/** An entry of the listing: a path with what stands before it. */
const MAX_ENTRY_BYTES = 2 * MAX_PATH_BYTES
/** Of all entries together: paths are kept in memory. 200,000 of 100 bytes have a third of it. */
const MAX_LISTING_BYTES = 96 * 1024 ** 2
/** A pointer has three lines and at most 1023 bytes (specification of Git LFS). */
const POINTER_BYTES = { least: 100, most: 1023 } as const
const TREE = Buffer.from('040000 ')
const LINE = /^(\d{6}) (blob|commit) ([0-9a-f]{40,64}) +(\d+|-)\t(.*)$/s

/** Lists the tree of a commit under limits. Throws when it holds too much, or names that cannot be handled everywhere. */
export async function readTree(
  repository: Repository,
  commit: string,
  limits: TreeLimits,
): Promise<SourceTree> {
  const tree: SourceTree = { entries: 0, bytes: 0, submodules: [], attribute_files: [], small_files: [] }
  const stop = new AbortController()
  let folders = 0
  const take = createEntryReader((line) => {
    // They are listed so that a few trees that hold each other many times over, and no file, are seen to be many.
    if (!line.subarray(0, TREE.length).equals(TREE)) return addEntry(tree, line, limits)
    folders += 1
    if (folders > limits.max_entries) throw gitFailed(tooMany('folders', limits.max_entries))
  })
  await runGit({
    args: ['ls-tree', '-r', '-t', '-l', '-z', '--full-tree', '--end-of-options', commit],
    cwd: repository.folder,
    env: repository.env,
    limits: { memory_bytes: MEMORY_BYTES, file_bytes: 0 },
    signal: AbortSignal.any([repository.signal, stop.signal]),
    onOutput: (chunk) => {
      if (stop.signal.aborted) return
      try {
        take(chunk)
      } catch (error) {
        stop.abort(error)
      }
    },
  })
  return tree
}

/**
 * Cuts a listing at its NULs. It throws before it holds more than one entry of an allowed length: a name costs git next to nothing to keep
 * and to send, so that a small pack can hold one of any length.
 */
function createEntryReader(onEntry: (line: Buffer) => void): (chunk: Buffer) => void {
  const head = Buffer.alloc(MAX_ENTRY_BYTES)
  let kept = 0
  let listed = 0
  return (chunk) => {
    listed += chunk.length
    if (listed > MAX_LISTING_BYTES)
      throw gitFailed(`The names of all files of the repository have more than ${MAX_LISTING_BYTES} bytes.`)
    let at = 0
    for (let end = chunk.indexOf(0); at < chunk.length; end = chunk.indexOf(0, at)) {
      const piece = chunk.subarray(at, end === -1 ? chunk.length : end)
      if (kept + piece.length > MAX_ENTRY_BYTES)
        throw tooLong(pathOf([head.subarray(0, kept), piece.subarray(0, MAX_ENTRY_BYTES)]))
      if (end !== -1 && kept === 0) onEntry(piece)
      else {
        kept += piece.copy(head, kept)
        if (end !== -1) onEntry(head.subarray(0, kept))
      }
      if (end === -1) return
      kept = 0
      at = end + 1
    }
  }
}

function tooMany(what: string, most: number): string {
  return `The repository has more than ${most} ${what} (setting unpacked_max_entries).`
}

function pathOf(pieces: readonly Buffer[]): string {
  const text = Buffer.concat(pieces).toString()
  return text.slice(text.indexOf('\t') + 1)
}

/** `path` is what has come of it so far. */
function tooLong(path: string): Error {
  return gitFailed(`The repository has a path that is too long or too deep: ${showText(path)}.`)
}

function addEntry(tree: SourceTree, line: Buffer, limits: TreeLimits): void {
  const text = line.toString()
  const [, mode = '', kind = '', object = '', size = '', path = ''] = LINE.exec(text) ?? []
  if (path === '' || !isUtf8(line))
    throw gitFailed(`The repository has a name that is not UTF-8: ${showText(text)}.`)
  checkPath(path)
  tree.entries += 1
  if (tree.entries > limits.max_entries) throw gitFailed(tooMany('files', limits.max_entries))
  if (kind === 'commit') {
    tree.submodules.push({ path, commit: object })
    return
  }
  tree.bytes += Number(size)
  if (tree.bytes > limits.max_bytes)
    throw gitFailed(
      `The files of the repository have more than ${limits.max_bytes} bytes (setting unpacked_max_bytes).`,
    )
  if (mode === '120000') return
  if (path === '.gitattributes' || path.endsWith('/.gitattributes')) tree.attribute_files.push(path)
  else if (Number(size) >= POINTER_BYTES.least && Number(size) <= POINTER_BYTES.most)
    tree.small_files.push(path)
}

function checkPath(path: string): void {
  const names = path.split('/')
  if (/\p{Cc}/u.test(path))
    throw gitFailed(`The repository has a name with control characters: ${showText(path)}.`)
  if (Buffer.byteLength(path) > MAX_PATH_BYTES || names.length > MAX_DEPTH) throw tooLong(path)
  // git refuses these itself; a slip there must not be one here.
  if (names.some((name) => name === '' || name === '.' || name === '..' || name.toLowerCase() === '.git'))
    throw gitFailed(`The repository has a path that leads elsewhere: ${showText(path)}.`)
}

/** Attributes that win over those of the repository: no filter, no conversion; every file has the bytes that were committed. */
const ATTRIBUTES = '* -filter -text -eol -ident -working-tree-encoding -merge\n'

/** Writes the files of a commit into an empty folder that is outside of the repository. */
export async function checkOut(
  repository: Repository,
  commit: string,
  folder: string,
  maxBytes: number,
): Promise<void> {
  await mkdir(join(repository.folder, 'info'), { recursive: true })
  await writeFile(join(repository.folder, 'info', 'attributes'), ATTRIBUTES)
  const limits: ChildLimits = { memory_bytes: MEMORY_BYTES, file_bytes: maxBytes }
  await runGit({
    args: [
      `--git-dir=${repository.folder}`,
      `--work-tree=${folder}`,
      'checkout',
      '-q',
      '--force',
      '--detach',
      '--no-recurse-submodules',
      commit,
      '--',
    ],
    cwd: folder,
    env: repository.env,
    limits,
    signal: repository.signal,
  })
}
