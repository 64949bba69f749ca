import { fstatSync, fsync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { messageOf, systemCodeOf } from '../lib/errors.ts'
import { CliError } from './cli-error.ts'

export type FileStream = NodeJS.WriteStream & { readonly fd: number }

/** Standard output, whatever it is connected to. */
export interface StandardOutput {
  readonly isTerminal: boolean
  /** Throws a CliError when a file does not take all of it. Errors of pipes and terminals come as `error` events of the stream. */
  write(data: string | Uint8Array): void
  /** Resolves when the stream takes more. */
  drained(): Promise<void>
  /** Brings a file's contents to the disk. Throws a CliError when that is not known to have worked. */
  sync(): Promise<void>
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would become larger than it may',
}

/**
 * Makes the standard output of a command. Node's own stream for files and devices takes a write that the system cut short for a whole one, so that a
 * disk that fills up truncates the output of a command that says it succeeded: those are written here.
 */
export function createStandardOutput(stdout: FileStream): StandardOutput {
  const { fd, isTTY: isTerminal } = stdout
  const kind = isTerminal ? 'stream' : kindOf(fd)
  const writeAll = (data: string | Uint8Array): void => {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at)
    } catch (error) {
      throw cannotWrite(error)
    }
  }
  return {
    isTerminal,
    write: kind === 'stream' ? (data) => void stdout.write(data) : writeAll,
    drained: () =>
      new Promise((resolve) => void (stdout.writableNeedDrain ? stdout.once('drain', resolve) : resolve())),
    sync: async () => {
      if (kind !== 'file') return
      await promisify(fsync)(fd).catch((error: unknown) => {
        throw cannotWrite(error)
      })
    },
  }
}

function kindOf(fd: number): 'file' | 'device' | 'stream' {
  const stat = fstatSync(fd)
  if (stat.isFile()) return 'file'
  return stat.isCharacterDevice() || stat.isBlockDevice() ? 'device' : 'stream'
}

function cannotWrite(error: unknown): CliError {
  const reason = REASONS[systemCodeOf(error) ?? ''] ?? messageOf(error)
  return new CliError(`cannot write standard output: ${reason}`, {
    cause: error,
    hints: ['What was written is not whole.'],
  })
}
