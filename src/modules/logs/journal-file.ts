import { constants } from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MAX_RECORD_BYTES, seqAt } from './log-line.ts'

/** An open file of records that is only appended to. */
export interface JournalFile {
  readonly path: string
  /** Bytes of whole records. */
  readonly size: number
  /** Seq of the last record; 0 when there is none. */
  readonly lastSeq: number
  /** Appends whole lines; when it throws, none of them is there. One call at a time. */
  write(lines: string, lastSeq: number): Promise<void>
  /** Makes what was written survive a power cut. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** The end of a file that may be torn: a crash of the machine can leave more than one bad line. */
const TAIL_BYTES = MAX_RECORD_BYTES * 4

/** Opens a journal, making it when it is not there, and cuts off what a crash left of a line at its end. */
export async function openJournalFile(path: string): Promise<JournalFile> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  try {
    const { size } = await handle.stat()
    const end = await findSoundEnd(handle, size)
    if (end.size < size) await handle.truncate(end.size)
    return wrap(handle, path, end)
  } catch (error) {
    await handle.close()
    throw error
  }
}

function wrap(handle: FileHandle, path: string, end: { size: number; lastSeq: number }): JournalFile {
  let { size, lastSeq } = end
  return {
    path,
    get size() {
      return size
    },
    get lastSeq() {
      return lastSeq
    },
    write: async (lines, last) => {
      const bytes = Buffer.from(lines)
      try {
        for (let done = 0; done < bytes.length;) {
          done += (await handle.write(bytes, done, bytes.length - done, size + done)).bytesWritten
        }
      } catch (error) {
        // A half-written line would be in the way of all that follow.
        await handle.truncate(size).catch(() => {})
        throw error
      }
      size += bytes.length
      lastSeq = last
    },
    sync: () => handle.datasync(),
    close: () => handle.close(),
  }
}

async function findSoundEnd(handle: FileHandle, size: number): Promise<{ size: number; lastSeq: number }> {
  const from = Math.max(0, size - TAIL_BYTES)
  const tail = Buffer.alloc(size - from)
  await handle.read(tail, 0, tail.length, from)
  let end = tail.lastIndexOf(0x0a) + 1
  while (end > 0) {
    const start = end === 1 ? 0 : tail.lastIndexOf(0x0a, end - 2) + 1
    const isWhole = start > 0 || from === 0
    if (isWhole && isJson(tail.toString('utf8', start, end))) {
      return { size: from + end, lastSeq: lastSeqBefore(tail, end) }
    }
    end = start
  }
  return { size: 0, lastSeq: 0 }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The last line may be a note without a seq. */
function lastSeqBefore(bytes: Buffer, end: number): number {
  for (let stop = end; stop > 0;) {
    const start = stop === 1 ? 0 : bytes.lastIndexOf(0x0a, stop - 2) + 1
    const seq = seqAt(bytes, start)
    if (seq !== undefined) return seq
    stop = start
  }
  return 0
}
