import { constants } from 'node:fs'
import { chmod, type FileHandle, link, mkdir, open, rm, symlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { ArchiveCheck, type ArchiveLimits, type ArchiveSummary, type CheckedEvent } from './archive-check.ts'
import { type ArchiveFormat, decodeArchive } from './archive-decode.ts'
import type { ArchiveEntry } from './archive-reader.ts'
import type { PlacedEntry } from './archive-tree.ts'

export interface UnpackOptions {
  signal: AbortSignal
  /** Called about every 16 MiB. */
  onProgress?: (summary: ArchiveSummary) => void
}

/** Files up to this size are gathered and written beside each other; larger ones pass through piece by piece. */
const GATHERED_BYTES = 128 * 1024
const MAX_PENDING = 16
const PROGRESS_BYTES = 16 * 1024 ** 2

/** O_EXCL does not follow a link in the last place; in the places before it there are only directories that we made. */
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/**
 * Unpacks an archive into `directory`, which is emptied first, so that it may be repeated. Everything is checked again; symlinks are made
 * last, so that nothing is ever written through one. Of modes only the permission bits are kept, owners are not. On failure the directory
 * is left as it is: the caller removes it or tries again.
 */
export async function unpackArchive(
  source: AsyncIterable<Buffer>,
  format: ArchiveFormat,
  directory: string,
  limits: ArchiveLimits,
  options: UnpackOptions,
): Promise<ArchiveSummary> {
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const check = new ArchiveCheck(limits)
  const unpacking = new Unpacking(directory)
  let progressAt = PROGRESS_BYTES
  try {
    for await (const chunk of decodeArchive(format, source)) {
      options.signal.throwIfAborted()
      for (const event of check.push(chunk)) await unpacking.take(event)
      if (check.summary.unpacked_bytes < progressAt) continue
      progressAt = check.summary.unpacked_bytes + PROGRESS_BYTES
      options.onProgress?.(check.summary)
    }
    // Only now is it known that no link leads out.
    const summary = await check.end()
    await unpacking.finish(options.signal)
    options.onProgress?.(summary)
    return summary
  } finally {
    await unpacking.settle()
  }
}

/** The file that is being received. */
interface Current {
  path: string
  entry: ArchiveEntry
  pieces: Buffer | undefined
  fill: number
  handle: FileHandle | undefined
}

class Unpacking {
  readonly #root: string
  readonly #pending = new Set<Promise<void>>()
  readonly #directories: { path: string; entry: ArchiveEntry }[] = []
  readonly #symlinks: { path: string; target: string }[] = []
  #failure: unknown
  #current: Current | undefined

  constructor(root: string) {
    this.#root = root
  }

  async take(event: CheckedEvent): Promise<void> {
    if (event.type === 'data') await this.#write(event.bytes)
    else if (event.type === 'end') await this.#endFile()
    else if (event.placed) await this.#begin(event.entry, event.placed)
  }

  /** Makes the links, then gives directories their modes and times, which writing into them would have changed or been refused by. */
  async finish(signal: AbortSignal): Promise<void> {
    await this.#drain()
    for (const { path, target } of this.#symlinks) {
      signal.throwIfAborted()
      await this.#run(symlink(target, path))
    }
    await this.#drain()
    for (const { path, entry } of this.#directories.toReversed()) {
      await chmod(path, (entry.mode & 0o777) | 0o700)
      await utimes(path, seconds(entry), seconds(entry))
    }
  }

  /** Waits until nothing is being written any more, whatever became of it. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#pending)
    await this.#current?.handle?.close()
  }

  async #begin(entry: ArchiveEntry, placed: PlacedEntry): Promise<void> {
    for (const implied of placed.impliedDirectories) {
      const path = join(this.#root, ...implied)
      await mkdir(path)
      await chmod(path, 0o755)
    }
    const path = join(this.#root, ...placed.path)
    switch (entry.kind) {
      case 'directory':
        if (!placed.existed) await mkdir(path, { mode: 0o700 })
        if (placed.path.length > 0) this.#directories.push({ path, entry })
        return
      case 'symlink':
        this.#symlinks.push({ path, target: entry.target })
        return
      case 'link':
        // The file may still be on its way to the disk.
        await this.#drain()
        await link(join(this.#root, ...placed.linkPath), path)
        return
      case 'file':
        this.#current = await beginFile(path, entry)
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    const current = this.#current
    if (!current) return
    if (current.pieces) current.fill += bytes.copy(current.pieces, current.fill)
    else await current.handle?.writeFile(bytes)
  }

  async #endFile(): Promise<void> {
    const current = this.#current
    if (!current) return
    this.#current = undefined
    await this.#run(endFile(current))
  }

  /** Lets the work go on beside us, a bounded number at once. */
  async #run(work: Promise<void>): Promise<void> {
    const tracked = work
      .catch((error: unknown) => {
        this.#failure ??= error
      })
      .finally(() => this.#pending.delete(tracked))
    this.#pending.add(tracked)
    if (this.#pending.size >= MAX_PENDING) await Promise.race(this.#pending)
    this.#throwFailure()
  }

  async #drain(): Promise<void> {
    await Promise.all(this.#pending)
    this.#throwFailure()
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure
  }
}

async function beginFile(path: string, entry: ArchiveEntry): Promise<Current> {
  const isSmall = entry.size <= GATHERED_BYTES
  return {
    path,
    entry,
    pieces: isSmall ? Buffer.allocUnsafe(entry.size) : undefined,
    fill: 0,
    handle: isSmall ? undefined : await open(path, CREATE, 0o600),
  }
}

async function endFile({ path, entry, pieces, handle }: Current): Promise<void> {
  const file = handle ?? (await open(path, CREATE, 0o600))
  try {
    if (pieces && pieces.length > 0) await file.writeFile(pieces)
    // By hand, because the mode of `open` would lose what the daemon's umask hides.
    await file.chmod((entry.mode & 0o777) | 0o600)
    await file.utimes(seconds(entry), seconds(entry))
  } finally {
    await file.close()
  }
}

function seconds(entry: ArchiveEntry): number {
  return entry.mtime_ms / 1000
}
