import { access, type FileHandle, lstat, open, rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { messageOf, systemCodeOf } from '../lib/errors.ts'
import { CliError } from './cli-error.ts'

/** Readable by its owner only. */
const MODE = 0o600

/**
 * Writes a new file, readable by its owner only, that bears its name once it is whole; until then it is `<path>.part`, which goes when
 * something fails or the command is interrupted, and, when it was killed, with the next writing of the file. Whether it can be written is found out before `fetchContents` is called. Throws a CliError
 * when either file is there already, and whatever `fetchContents` and what it answers throw.
 */
export async function writeWholeFile(
  path: string,
  fetchContents: () => Promise<AsyncIterable<Buffer>>,
  now: () => number,
): Promise<void> {
  if (await isThere(path)) throw new CliError(`${path} exists already`)
  const part = `${path}.part`
  if (await isLeftOver(part, now())) await rm(part, { force: true })
  const handle = await openNew(part)
  try {
    const { ino } = await handle.stat()
    await pipeline(await fetchContents(), handle.createWriteStream({ flush: true }))
    if ((await lstat(part)).ino !== ino) throw new CliError(`${part} was replaced meanwhile`)
    await rename(part, path)
  } catch (error) {
    await handle.close().catch(() => {})
    await rm(part, { force: true })
    throw error
  }
}

/** A writer whose contents stop coming for a minute is broken off by the server. */
const LEFT_AFTER_MS = 10 * 60_000

/** Whether a file is what an earlier command of this user left that was killed: as it makes them, and long not written to. */
async function isLeftOver(part: string, nowMs: number): Promise<boolean> {
  const found = await lstat(part).catch(() => undefined)
  if (!found?.isFile() || found.nlink !== 1 || (found.mode & 0o777) !== MODE) return false
  return found.uid === process.getuid?.() && nowMs - found.mtimeMs > LEFT_AFTER_MS
}

async function openNew(part: string): Promise<FileHandle> {
  try {
    return await open(part, 'wx', MODE)
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST')
      throw new CliError(`cannot write ${part}: ${messageOf(error)}`, { cause: error })
    throw new CliError(`${part} exists already`, {
      hints: ['Somebody is writing it, or was killed while writing it: then remove it.'],
    })
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
