import { mkdir, readdir, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { ArchiveFormat } from '../../lib/archive-decode.ts'
import { AppError } from '../../lib/errors.ts'

export type UploadFiles = ReturnType<typeof createUploadFiles>

/** `<id>.<format>`, with `.part` while it arrives. */
const FILE_NAME = /^([0-9a-f-]{36})\.tar(\.gz|\.zst)?(\.part)?$/

/** Where the bodies of uploads lie: `<data_dir>/uploads`. */
export function createUploadFiles(deps: { dataDir: string; diskReserveBytes: number }) {
  const directory = join(deps.dataDir, 'uploads')
  /** Uploads that are arriving; their files have no row yet and are no strays. */
  const arriving = new Set<string>()

  return {
    pathOf: (upload: { id: string; format: ArchiveFormat }): string =>
      join(directory, `${upload.id}.${upload.format}`),

    /** Keeps the sweep away from an upload's file until its row is written or the file is gone. */
    async whileArriving<T>(id: string, receive: () => Promise<T>): Promise<T> {
      arriving.add(id)
      try {
        await mkdir(directory, { recursive: true, mode: 0o700 })
        return await receive()
      } finally {
        arriving.delete(id)
      }
    },

    /** Removes files that belong to nothing: what a crash left, and those whose service is gone. Answers how many. */
    async sweep(isKnown: (id: string) => boolean): Promise<number> {
      let swept = 0
      for (const name of await listNames(directory)) {
        const id = FILE_NAME.exec(name)?.[1]
        // Asked in this order and without a pause: an upload stops arriving only when its row is there.
        if (id === undefined || arriving.has(id) || isKnown(id)) continue
        await rm(join(directory, name), { force: true })
        swept += 1
      }
      return swept
    },

    /** Throws DISK_FULL unless so many bytes fit beside the reserve. */
    async requireRoom(bytes: number): Promise<void> {
      const { bavail, bsize } = await statfs(deps.dataDir)
      if (bavail * bsize - deps.diskReserveBytes < bytes) throw new AppError('DISK_FULL')
    },
  }
}

async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
