import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { finished, type Readable, Transform, type TransformCallback } from 'node:stream'
import { ArchiveCheck, type ArchiveLimits, type ArchiveSummary } from '../../lib/archive-check.ts'
import { type ArchiveFormat, decodeArchive, SNIFF_BYTES, sniffFormat } from '../../lib/archive-decode.ts'
import { badArchive, tooLarge } from '../../lib/archive-error.ts'
import { syncDirectory } from '../../lib/durable-file.ts'
import type { System } from '../../lib/system.ts'

export interface ReceptionDeps {
  system: System
  maxBytes: number
  limits: ArchiveLimits
  /** Throws DISK_FULL when there is no room for so many more bytes. */
  requireRoom: (bytes: number) => Promise<void>
}

export interface Received extends ArchiveSummary {
  size_bytes: number
  sha256: string
}

/** How much may arrive or unfold before the disk is looked at again. */
const ROOM_STEP = 64 * 1024 ** 2
const STALL_CHECK_MS = 15_000
const STALL_CHECKS = 4
/** Less than this in the time of a check is as good as nothing. */
const LEAST_PROGRESS = 16 * 1024
/** How long a refused client may go on sending: closing at once would reset the connection before it reads the answer. */
const LINGER_MS = 30_000

/**
 * Writes an archive to `path` as it arrives, checking it all the while, in constant memory: the client is held back by the disk and by the
 * check. When it returns, the file is complete and durable under its name; when it throws, there is none.
 */
export async function receiveArchive(
  body: Readable,
  format: ArchiveFormat,
  path: string,
  deps: ReceptionDeps,
): Promise<Received> {
  const partial = `${path}.part`
  const handle = await open(partial, 'wx', 0o600)
  try {
    const received = await receiveInto(handle, body, format, deps)
    await handle.sync()
    await handle.close()
    await rename(partial, path)
    await syncDirectory(dirname(path))
    return received
  } catch (error) {
    await handle.close().catch(() => {})
    await rm(partial, { force: true })
    throw error
  }
}

async function receiveInto(
  handle: FileHandle,
  body: Readable,
  format: ArchiveFormat,
  deps: ReceptionDeps,
): Promise<Received> {
  const intake = new Intake(handle, format, deps)
  const check = new ArchiveCheck(deps.limits, () => intake.size)
  const cancelStallCheck = watchForStall(body, intake, deps.system)
  const unwatch = finished(body, { writable: false }, (error) => {
    if (error) intake.destroy(badArchive('the client went away before it was complete', undefined, error))
  })
  body.pipe(intake)
  let room = ROOM_STEP
  try {
    for await (const chunk of decodeArchive(format, intake)) {
      for (const _ of check.push(chunk)) continue
      if (check.summary.unpacked_bytes < room) continue
      // What cannot be unpacked later for want of room is not worth receiving.
      await deps.requireRoom(check.summary.unpacked_bytes)
      room = check.summary.unpacked_bytes + ROOM_STEP
    }
    return { ...(await check.end()), size_bytes: intake.size, sha256: intake.sha256() }
  } catch (error) {
    discardRest(body, intake, deps.system)
    throw error
  } finally {
    unwatch()
    cancelStallCheck()
  }
}

/** Counts, hashes and writes down what passes through. */
class Intake extends Transform {
  size = 0
  readonly #handle: FileHandle
  readonly #format: ArchiveFormat
  readonly #deps: ReceptionDeps
  readonly #hash = createHash('sha256')
  #head = Buffer.alloc(0)
  #roomAt = ROOM_STEP

  constructor(handle: FileHandle, format: ArchiveFormat, deps: ReceptionDeps) {
    super({ highWaterMark: 64 * 1024 })
    this.#handle = handle
    this.#format = format
    this.#deps = deps
  }

  sha256(): string {
    return this.#hash.digest('hex')
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    void this.#pass(chunk, callback)
  }

  async #pass(chunk: Buffer, callback: TransformCallback): Promise<void> {
    try {
      await this.#take(chunk)
    } catch (error) {
      callback(error as Error)
      return
    }
    callback(null, chunk)
  }

  async #take(chunk: Buffer): Promise<void> {
    this.size += chunk.length
    if (this.size > this.#deps.maxBytes) throw tooLarge(`more than ${this.#deps.maxBytes} bytes`)
    this.#sniff(chunk)
    this.#hash.update(chunk)
    if (this.size >= this.#roomAt) {
      await this.#deps.requireRoom(ROOM_STEP)
      this.#roomAt = this.size + ROOM_STEP
    }
    await this.#handle.writeFile(chunk)
  }

  #sniff(chunk: Buffer): void {
    if (this.#head.length >= SNIFF_BYTES) return
    this.#head = Buffer.concat([this.#head, chunk.subarray(0, SNIFF_BYTES)])
    if (this.#head.length < SNIFF_BYTES) return
    const found = sniffFormat(this.#head)
    if (found !== this.#format)
      throw badArchive(`the content type says ${this.#format}, the body begins like ${found}`)
  }
}

/** A client that sends nothing would hold its slot for ever. */
function watchForStall(body: Readable, intake: Intake, system: System): () => void {
  let seen = 0
  let quiet = 0
  const look = (): void => {
    quiet = intake.size - seen >= LEAST_PROGRESS || intake.writableNeedDrain ? 0 : quiet + 1
    seen = intake.size
    if (quiet >= STALL_CHECKS)
      intake.destroy(badArchive(`too little arrived for ${(STALL_CHECKS * STALL_CHECK_MS) / 1000} seconds`))
    else if (!body.readableEnded) cancel = system.later(STALL_CHECK_MS, look)
  }
  let cancel = system.later(STALL_CHECK_MS, look)
  return () => cancel()
}

function discardRest(body: Readable, intake: Intake, system: System): void {
  body.unpipe(intake)
  intake.destroy()
  if (body.readableEnded || body.destroyed) return
  body.on('error', () => {})
  body.resume()
  const cancel = system.later(LINGER_MS, () => body.destroy())
  body.once('close', cancel)
}
