import type { FileHandle } from 'node:fs/promises'
import { createLanes } from '../../lib/lanes.ts'
import { asDiskFull } from './upload-file.ts'

const EVERY_BYTES = 16 * 1024 ** 2

/** There is one disk, and four threads in which Node waits for it: two are left for what small pushes and pulls need. */
const lanes = createLanes(2)

/** Has the disk write all of a file. */
export function syncFile(handle: FileHandle): Promise<void> {
  return lanes.run(() => handle.sync())
}

/** Has the disk write what arrived while more arrives, so that the sync before the answer finds little left to do. */
export class EarlySync {
  readonly #handle: FileHandle
  #unsynced = 0
  #running: Promise<void> | undefined
  #failure: unknown

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  wrote(bytes: number): void {
    this.#unsynced += bytes
    if (this.#unsynced < EVERY_BYTES || this.#running) return
    this.#unsynced = 0
    this.#running = this.#sync()
  }

  /** Waits for what it began. Throws what the disk refused: a later sync would not be told of it again. */
  async settled(): Promise<void> {
    await this.#running
    if (this.#failure !== undefined) asDiskFull(this.#failure)
  }

  async #sync(): Promise<void> {
    try {
      await lanes.run(() => this.#handle.datasync())
    } catch (error) {
      this.#failure = error
    }
    this.#running = undefined
  }
}
