import { closeSync, constants, fstatSync, openSync, readSync, realpathSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants as zlib, createZstdCompress } from 'node:zlib'
import { packArchive, type PackedEntry } from '../../lib/archive-pack.ts'
import { systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { CliError } from '../cli-error.ts'
import { type BuildPlaces, readBuildIgnore } from './build-ignore.ts'
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
  /** How the service is built: which `.dockerignore` counts, and what that cannot take away. */
  places: BuildPlaces
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
    docker: readBuildIgnore(root, options.places),
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
  return {
    total,
    packed,
    holdsModules,
    open: (signal) => compress(inBlocks(packArchive(packEntries(source))), signal),
  }
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
async function* inBlocks(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  let fill = 0
  for await (const piece of pieces) {
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

function* packEntries(source: Source): Generator<PackedEntry, void, undefined> {
  for (const entry of walkFolder(source.selection)) {
    const { kind, name, mode, mtime_ms, target = '' } = entry
    if (kind === 'file') {
      yield* packFile(source, entry)
      continue
    }
    count(source.packed, entry)
    yield kind === 'directory' ? { kind, name, mode, mtime_ms } : { kind, name, mode, mtime_ms, target }
  }
}

/** The file is open from here until its contents are in the archive. */
function* packFile(source: Source, entry: FolderEntry): Generator<PackedEntry, void, undefined> {
  const descriptor = openFile(source, entry)
  if (descriptor === undefined) return
  try {
    const status = fstatSync(descriptor)
    if (!status.isFile()) {
      source.selection.onSkip(entry.name, 'it is no file any more')
      return
    }
    source.packed.files += 1
    const packed = {
      kind: 'file',
      name: entry.name,
      mode: status.mode & 0o777,
      mtime_ms: status.mtimeMs,
    } as const
    const pieces = readPieces(source, entry, descriptor, status.size)
    if (status.size <= BLOCK_BYTES) yield { ...packed, content: Buffer.concat([...pieces]) }
    else yield { ...packed, size: status.size, read: () => Readable.from(pieces) }
    if (fstatSync(descriptor).size > status.size) {
      source.onWarning(`${entry.name} grew while it was packed: its first ${status.size} bytes are sent`)
    }
  } finally {
    closeSync(descriptor)
  }
}

function* readPieces(
  source: Source,
  entry: FolderEntry,
  descriptor: number,
  size: number,
): Generator<Buffer, void, undefined> {
  for (let left = size; left > 0;) {
    const piece = Buffer.allocUnsafe(Math.min(left, BLOCK_BYTES))
    const read = readSync(descriptor, piece, 0, piece.length, null)
    if (read === 0)
      throw new CliError(`${entry.path} became shorter while it was packed`, {
        hints: ['Try again when nothing writes to it.'],
      })
    left -= read
    source.packed.bytes += read
    yield piece.subarray(0, read)
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
