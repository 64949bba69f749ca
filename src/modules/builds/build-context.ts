import { lstat, readdir, readlink } from 'node:fs/promises'
import { join, posix } from 'node:path'
import type { Readable } from 'node:stream'
import { packArchive, type PackedEntry } from '../../lib/archive-pack.ts'
import { type DockerIgnore, parseDockerIgnore } from '../../lib/docker-ignore.ts'
import { messageOf } from '../../lib/errors.ts'
import { BuildFailed } from '../../runtime/runtime.ts'
import { readFilePieces } from './base-image/rootfs.ts'
import type { SourceFolder } from './source-folder.ts'

export interface ContextOptions {
  /** What is packed: nothing in it is followed. */
  root: string
  /** Says what is left out. */
  ignore: DockerIgnore
  /** The folder of the archive that the source is put into; empty for its root. */
  prefix: string
  /** Files of ours, at paths of the archive. */
  extra?: Record<string, string>
  /** Makes everything readable, whatever an upload says: a server under another user serves it. */
  readable?: boolean
}

const MAX_IGNORE_BYTES = 256 * 1024

/**
 * The context of a build as an uncompressed tar, in an order that depends on nothing but names. Files are read as they are wanted. Links stay
 * links; what is neither file, folder nor link is left out.
 */
export function packContext(options: ContextOptions): Readable {
  return packArchive(listContext(options))
}

async function* listContext(options: ContextOptions): AsyncGenerator<PackedEntry> {
  for (const [name, text] of Object.entries(options.extra ?? {})) {
    yield { kind: 'file', name, content: Buffer.from(text), mode: 0o644 }
  }
  // The folder itself, so that copying it works however empty it is.
  if (options.prefix !== '') yield { kind: 'directory', name: options.prefix, mode: 0o755 }
  yield* listFolder(options, '', [])
}

/** `pending`: folders above that are left out themselves, and come in with the first thing in them that is wanted after all. */
async function* listFolder(
  options: ContextOptions,
  folder: string,
  pending: PackedEntry[],
): AsyncGenerator<PackedEntry> {
  const entries = await readdir(join(options.root, folder), { withFileTypes: true })
  const names = entries.map((entry) => entry.name).toSorted((a, b) => (a < b ? -1 : 1))
  for (const name of names) {
    const path = folder === '' ? name : `${folder}/${name}`
    const excluded = options.ignore.excludes(path)
    if (excluded && !options.ignore.mayIncludeBelow(path)) continue
    const entry = await describe(options, path)
    if (!entry || (excluded && entry.kind !== 'directory')) continue
    const packed = { ...entry, name: inArchive(options, path) }
    if (packed.kind === 'directory') {
      const waiting = excluded ? [...pending, packed] : []
      if (!excluded) yield* [...pending.splice(0), packed]
      yield* listFolder(options, path, waiting)
      // What was listed below has taken the folders above along.
      if (excluded && waiting.length === 0) pending.length = 0
    } else {
      yield* [...pending.splice(0), packed]
    }
  }
}

function inArchive({ prefix }: ContextOptions, path: string): string {
  return prefix === '' ? path : `${prefix}/${path}`
}

async function describe(options: ContextOptions, path: string): Promise<PackedEntry | undefined> {
  const file = join(options.root, path)
  const status = await lstat(file)
  const name = path
  const mode = (status.mode & 0o777) | (options.readable ? 0o444 : 0)
  if (status.isFile()) {
    const { size } = status
    return {
      kind: 'file',
      name,
      size,
      mode,
      mtime_ms: status.mtimeMs,
      read: () => readFilePieces(file, size),
    }
  }
  // The times of folders and links change with whatever happens beside; nothing depends on them.
  if (status.isDirectory()) return { kind: 'directory', name, mode: mode | (options.readable ? 0o111 : 0) }
  if (status.isSymbolicLink()) return { kind: 'symlink', name, target: await readlink(file), mode: 0o777 }
  return undefined
}

export interface IgnoreOptions {
  /** Left out in any case, as patterns. */
  leave_out?: string[]
  /** Never left out, as paths. */
  keep?: string[]
}

/** What the context's ignore file leaves out: `<Dockerfile>.dockerignore` where there is one, else `.dockerignore`. The Dockerfile stays. */
export async function readIgnore(
  context: SourceFolder,
  dockerfile: string | undefined,
  { leave_out = [], keep = [] }: IgnoreOptions = {},
): Promise<DockerIgnore> {
  const own =
    dockerfile === undefined
      ? undefined
      : await context.readText(`${dockerfile}.dockerignore`, MAX_IGNORE_BYTES)
  const text = own ?? (await context.readText('.dockerignore', MAX_IGNORE_BYTES)) ?? ''
  const ignore = parseOrFail(`${text}\n${leave_out.join('\n')}`)
  const kept = new Set([...keep, ...(dockerfile === undefined ? [] : [posix.normalize(dockerfile)])])
  return {
    excludes: (path) => !kept.has(path) && ignore.excludes(path),
    mayIncludeBelow: (folder) =>
      [...kept].some((path) => path.startsWith(`${folder}/`)) || ignore.mayIncludeBelow(folder),
  }
}

function parseOrFail(text: string): DockerIgnore {
  try {
    return parseDockerIgnore(text)
  } catch (error) {
    throw new BuildFailed(messageOf(error))
  }
}
