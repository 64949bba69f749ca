import { constants } from 'node:fs'
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf } from '../../lib/errors.ts'
import { BuildFailed } from '../../runtime/runtime.ts'

export type EntryKind = 'file' | 'directory' | 'other'

/**
 * A folder of unpacked source. All that is in it comes from someone else, so nothing in it is ever followed: a link anywhere on a path ends
 * the build with a sentence that says so.
 */
export interface SourceFolder {
  /** Where it is on this machine. */
  readonly path: string
  /** What is at this relative path; undefined when there is nothing. A link throws BuildFailed. */
  kindOf(path: string): Promise<EntryKind | undefined>
  /** The text of a file; undefined when there is none. Throws BuildFailed for a link, or for more than `maxBytes`. */
  readText(path: string, maxBytes: number): Promise<string | undefined>
  /** The names in it, in no order. */
  names(): Promise<string[]>
  /** A folder inside; throws BuildFailed when there is none. */
  folder(path: string): Promise<SourceFolder>
}

export function openSourceFolder(root: string): SourceFolder {
  async function kindOf(path: string): Promise<EntryKind | undefined> {
    const segments = splitPath(path)
    let kind: EntryKind = 'directory'
    for (let length = 1; length <= segments.length; length += 1) {
      const status = await lstatOrNothing(join(root, ...segments.slice(0, length)))
      if (!status) return undefined
      if (status.isSymbolicLink()) throw linked(segments.slice(0, length).join('/'))
      if (status.isDirectory()) kind = 'directory'
      else if (length < segments.length) return undefined
      else kind = status.isFile() ? 'file' : 'other'
    }
    return kind
  }

  async function readText(path: string, maxBytes: number): Promise<string | undefined> {
    if ((await kindOf(path)) !== 'file') return undefined
    const handle = await openUnfollowed(join(root, ...splitPath(path)))
    try {
      const { size } = await handle.stat()
      if (size > maxBytes)
        throw new BuildFailed(`${path} has ${size} bytes; at most ${maxBytes} are read of it.`)
      return await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  }

  return {
    path: root,
    kindOf,
    readText,
    names: () => readdir(root),
    folder: async (path) => {
      const kind = await kindOf(path)
      if (kind !== 'directory') throw new BuildFailed(`The source has no folder ${path}.`)
      return openSourceFolder(join(root, ...splitPath(path)))
    },
  }
}

/** Opens a file for reading; a link in its place is an error, a pipe does not block. */
export function openUnfollowed(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
}

/** The names of a relative path. Throws BuildFailed for a path that leads out. */
function splitPath(path: string): string[] {
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.')
  if (path.startsWith('/') || path.includes('\0') || segments.includes('..'))
    throw new BuildFailed(`${JSON.stringify(path)} is not a path inside the source.`)
  return segments
}

async function lstatOrNothing(path: string) {
  try {
    return await lstat(path)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ENOTDIR') return undefined
    throw error
  }
}

function linked(path: string): BuildFailed {
  return new BuildFailed(
    `${path} is a symbolic link. A build does not follow links here; put the file itself in its place.`,
  )
}
