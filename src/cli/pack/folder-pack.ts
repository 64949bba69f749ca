import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
} from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants as zlib, createZstdCompress } from 'node:zlib'
import { ARCHIVE_END, encodeEntry, paddingAfter } from '../../lib/archive-write.ts'
import { type DockerIgnore, parseDockerIgnore } from '../../lib/docker-ignore.ts'
import { messageOf, systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { CliError } from '../cli-error.ts'
import { type FolderEntry, type Selection, unreadable, walkFolder } from './folder-walk.ts'
import { readGitKnowledge } from './git-work-tree.ts'

/** What a folder amounts to. */
export interface PackCounts {
  files: number
  folders: number
  links: number
  /** Contents of the files. */
  bytes: number
}

export interface FolderPack {
  /** What there is to pack, from a walk before the packing. */
  readonly total: PackCounts
  /** What was packed so far. */
  readonly packed: PackCounts
  /** Whether something below a folder `node_modules` is packed. */
  readonly holdsModules: boolean
  /** The folder as tar.zst, in constant memory. The same folder gives the same bytes. To be read once. */
  open(signal: AbortSignal): AsyncIterable<Buffer>
}

export interface PackOptions {
  /** The Dockerfile's path in the folder: like the `.dockerignore` it is packed whatever that says, as the Docker command does. */
  dockerfile: string
  onWarning: (text: string) => void
  system: System
  signal: AbortSignal
}

/** Looks at a folder, for packing it. Throws a CliError for what cannot be packed, such as links that lead out of it. */
export async function preparePack(folder: string, options: PackOptions): Promise<FolderPack> {
  const root = realpathSync(folder)
  const warned = new Set<string>()
  const warn = (name: string, reason: string): void => {
    if (!warned.has(name)) options.onWarning(`${name} is left out: ${reason}`)
    warned.add(name)
  }
  const selection: Selection = {
    root,
    git: readGitKnowledge(root),
    docker: readDockerIgnore(root, options.dockerfile),
    onSkip: warn,
  }
  const total = noCounts()
  let holdsModules = false
  let seen = 0
  for (const entry of walkFolder(selection)) {
    count(total, entry)
    holdsModules ||= entry.kind === 'directory' && /(^|\/)node_modules$/.test(entry.name)
    seen += 1
    // Lets an interrupt through.
    if (seen % WALK_PAUSE === 0) await options.system.sleep(0, options.signal)
  }
  const packed = noCounts()
  const source = { selection, packed, onWarning: options.onWarning }
  return { total, packed, holdsModules, open: (signal) => compress(inBlocks(packEntries(source)), signal) }
}

const WALK_PAUSE = 1000

function noCounts(): PackCounts {
  return { files: 0, folders: 0, links: 0, bytes: 0 }
}

function count(counts: PackCounts, { kind, size }: FolderEntry): void {
  if (kind === 'file') counts.files += 1
  else if (kind === 'directory') counts.folders += 1
  else counts.links += 1
  counts.bytes += size
}

function readDockerIgnore(root: string, dockerfile: string): DockerIgnore | undefined {
  const path = join(root, '.dockerignore')
  if (!existsSync(path)) return undefined
  try {
    const ignore = parseDockerIgnore(readFileSync(path, 'utf8'))
    const needed = new Set(['.dockerignore', dockerfile])
    const mayHoldNeeded = (folder: string): boolean => dockerfile.startsWith(`${folder}/`)
    return {
      excludes: (name) => !needed.has(name) && ignore.excludes(name),
      mayIncludeBelow: (folder) => mayHoldNeeded(folder) || ignore.mayIncludeBelow(folder),
    }
  } catch (error) {
    throw new CliError(`${path}: ${messageOf(error)}`, { cause: error })
  }
}

async function* compress(
  tar: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const zstd = createZstdCompress({ chunkSize: BLOCK_BYTES, params: { [zlib.ZSTD_c_checksumFlag]: 1 } })
  let failure: unknown
  const done = pipeline(Readable.from(tar, { objectMode: false, highWaterMark: BLOCK_BYTES }), zstd, {
    signal,
  }).catch((error: unknown) => {
    failure = error
  })
  try {
    for await (const chunk of zstd) yield chunk as Buffer
  } catch (error) {
    await done
    throw failure ?? error
  }
  await done
  if (failure !== undefined) throw failure
}

const BLOCK_BYTES = 256 * 1024

/** Gathers small pieces, because each one costs the compressor a trip to the thread pool. */
async function* inBlocks(pieces: Iterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  let fill = 0
  for (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      const copied = piece.copy(block, fill, at)
      at += copied
      fill += copied
      if (fill < BLOCK_BYTES) continue
      yield block
      block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
      fill = 0
    }
  }
  yield block.subarray(0, fill)
}

interface Source {
  selection: Selection
  packed: PackCounts
  onWarning: (text: string) => void
}

function* packEntries(source: Source): Generator<Buffer, void, undefined> {
  const contents = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  for (const entry of walkFolder(source.selection)) {
    if (entry.kind === 'file') yield* packFile(source, entry, contents)
    else {
      count(source.packed, entry)
      yield encodeEntry(entry)
    }
  }
  yield ARCHIVE_END
}

/** Its header and contents. What is yielded is valid until the next piece is asked for. */
function* packFile(source: Source, entry: FolderEntry, contents: Buffer): Generator<Buffer, void, undefined> {
  const descriptor = openFile(source, entry)
  if (descriptor === undefined) return
  try {
    const status = fstatSync(descriptor)
    if (!status.isFile()) {
      source.selection.onSkip(entry.name, 'it is no file any more')
      return
    }
    source.packed.files += 1
    yield encodeEntry({ ...entry, size: status.size, mode: status.mode & 0o777, mtime_ms: status.mtimeMs })
    let left = status.size
    while (left > 0) {
      const read = readSync(descriptor, contents, 0, Math.min(left, contents.length), null)
      if (read === 0)
        throw new CliError(`${entry.path} became shorter while it was packed`, {
          hints: ['Try again when nothing writes to it.'],
        })
      left -= read
      source.packed.bytes += read
      yield contents.subarray(0, read)
    }
    if (fstatSync(descriptor).size > status.size) {
      source.onWarning(`${entry.name} grew while it was packed: its first ${status.size} bytes are sent`)
    }
    yield paddingAfter(status.size)
  } finally {
    closeSync(descriptor)
  }
}

/** Not through a link, and without waiting for a pipe's other end: the file may have become either since the walk. */
function openFile({ selection }: Source, { name, path }: FolderEntry): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const code = systemCodeOf(error)
    if (code !== 'ENOENT' && code !== 'ELOOP') throw unreadable(path, error)
    selection.onSkip(name, code === 'ENOENT' ? 'it vanished' : 'it is no file any more')
    return undefined
  }
}
