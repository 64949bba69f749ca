import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { gitFailed, showText } from './git-failure.ts'
import type { SourceTree } from './source-tree.ts'

const POINTER = 'version https://git-lfs.github.com/spec/v1\n'
const MAX_ATTRIBUTES = 1024 * 1024

/**
 * Refuses a source whose files are kept by Git LFS: what is checked out of them are pointers of a few lines, and an image of those would
 * be broken in ways that are hard to understand. `within` is the part that is built.
 */
export async function refuseLfs(
  folder: string,
  tree: SourceTree,
  within: string | null,
  signal: AbortSignal,
): Promise<void> {
  if (!(await someMention(folder, tree.attribute_files, signal))) return
  const prefix = within === null ? '' : `${within}/`
  for (const path of tree.small_files) {
    if (!path.startsWith(prefix)) continue
    signal.throwIfAborted()
    if ((await readStart(join(folder, path), POINTER.length)) === POINTER)
      throw gitFailed(
        `${showText(path)} is kept by Git LFS, which Berth does not fetch. Commit the file itself, or deploy with berth deploy from a checkout.`,
      )
  }
}

async function someMention(folder: string, files: readonly string[], signal: AbortSignal): Promise<boolean> {
  for (const file of files) {
    signal.throwIfAborted()
    if (/\bfilter=lfs\b/.test(await readStart(join(folder, file), MAX_ATTRIBUTES))) return true
  }
  return false
}

async function readStart(file: string, bytes: number): Promise<string> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(bytes), 0, bytes, 0)
    return buffer.subarray(0, bytesRead).toString()
  } finally {
    await handle.close()
  }
}
