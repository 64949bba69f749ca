import { access, open, rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { messageOf, systemCodeOf } from '../lib/errors.ts'
import { CliError } from './cli-error.ts'

/**
 * Writes a new file, readable by its owner only, that bears its name once it is whole; until then it is `<path>.part`, which goes when
 * something fails or the command is interrupted. Whether it can be written is found out before `fetchContents` is called. Throws a CliError
 * when either file is there already, and whatever `fetchContents` and what it answers throw.
 */
export async function writeWholeFile(
  path: string,
  fetchContents: () => Promise<AsyncIterable<Buffer>>,
): Promise<void> {
  if (await isThere(path)) throw new CliError(`${path} exists already`)
  const part = `${path}.part`
  const handle = await openNew(part)
  try {
    await pipeline(await fetchContents(), handle.createWriteStream({ flush: true }))
    await rename(part, path)
  } catch (error) {
    await handle.close().catch(() => {})
    await rm(part, { force: true })
    throw error
  }
}

async function openNew(part: string) {
  try {
    return await open(part, 'wx', 0o600)
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
