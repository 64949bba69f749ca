import { createInterface } from 'node:readline/promises'
import type { ReadStream } from 'node:tty'
import { CliError, EXIT, Interrupted, UsageError } from './cli-error.ts'
import { plain } from './plain-text.ts'

/** The person at the keyboard, if there is one, and what is piped in. */
export interface Terminal {
  /** Whether questions can be asked: stdin and stderr are terminals. */
  readonly interactive: boolean
  /** Asks for a line; an empty answer means `usual`. */
  ask(question: string, usual?: string): Promise<string>
  /** Asks for a line that is not shown while it is typed. */
  askSecret(question: string): Promise<string>
  /** Asks for yes or no; an empty answer means no. */
  confirm(question: string): Promise<boolean>
  /** Stdin as it comes. */
  input(): AsyncIterable<Buffer>
  /** All of stdin, at most `most` bytes. */
  readInput(most: number): Promise<string>
  /** A secret piped into stdin, without the line end behind it. */
  readSecret(): Promise<string>
}

const LONGEST_SECRET = 4096
const LONGEST_ANSWER = 1024

export interface TerminalOptions {
  stdin: NodeJS.ReadStream
  stderr: NodeJS.WriteStream
  unattended: boolean
  signal: AbortSignal
}

/** Makes the terminal of a command. */
export function createTerminal({ stdin, stderr, unattended, signal }: TerminalOptions): Terminal {
  const interactive = stdin.isTTY && stderr.isTTY && !unattended
  const requireInteractive = (question: string): void => {
    if (!interactive)
      throw new UsageError(
        `${question.replace(/[:?\s]+$/, '')}: nobody can be asked, for this is no terminal`,
      )
  }
  const ask = async (question: string, usual?: string): Promise<string> => {
    requireInteractive(question)
    const lines = createInterface({ input: stdin, output: stderr, historySize: 0 })
    const interrupted = new AbortController()
    lines.once('SIGINT', () => interrupted.abort(new Interrupted('SIGINT')))
    lines.once('close', () => interrupted.abort(noAnswer()))
    const stop = AbortSignal.any([signal, interrupted.signal])
    try {
      const shown = usual === undefined ? `${plain(question)} ` : `${plain(question)} [${plain(usual)}] `
      const answer = (await lines.question(shown, { signal: stop })).trim().slice(0, LONGEST_ANSWER)
      return answer === '' ? (usual ?? '') : answer
    } catch (error) {
      stderr.write('\n')
      throw stop.aborted ? stop.reason : error
    } finally {
      lines.close()
    }
  }
  const input = (): AsyncIterable<Buffer> => {
    signal.throwIfAborted()
    signal.addEventListener('abort', () => stdin.destroy(signal.reason as Error))
    return stdin.iterator({ destroyOnReturn: true }) as AsyncIterable<Buffer>
  }
  const readInput = async (most: number): Promise<string> => {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of input()) {
      size += chunk.length
      if (size > most) throw new UsageError(`more than ${most} bytes on stdin`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString()
  }
  return {
    interactive,
    ask,
    askSecret: async (question) => {
      requireInteractive(question)
      try {
        return await readHidden(stdin, signal, () => stderr.write(`${plain(question)} `))
      } finally {
        stderr.write('\n')
      }
    },
    confirm: async (question) => /^y(es)?$/i.test(await ask(`${question} [y/N]`)),
    input,
    readInput,
    readSecret: async () => (await readInput(LONGEST_SECRET)).replace(/\r?\n$/, ''),
  }
}

/** Keys of a terminal in raw mode. */
const KEY = { interrupt: '\u0003', end: '\u0004', backspace: '\b', eraseLine: '\u0015', delete: '\u007F' }

/**
 * Reads a line with the terminal's echo off. `prompt` is called once it is off: whoever answers a prompt at once, a program perhaps, is
 * not echoed. The mode is restored whatever happens.
 */
async function readHidden(stdin: ReadStream, signal: AbortSignal, prompt: () => void): Promise<string> {
  const wasRaw = stdin.isRaw
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const line = new HiddenLine()
  const take = (chunk: Buffer): void => {
    try {
      if (line.take(chunk)) resolve(line.text)
    } catch (error) {
      reject(error)
    }
  }
  const end = (): void => reject(noAnswer())
  const stop = (): void => reject(signal.reason as Error)
  stdin.setRawMode(true)
  prompt()
  stdin.on('data', take).once('end', end).once('error', end)
  signal.addEventListener('abort', stop)
  if (signal.aborted) stop()
  stdin.resume()
  try {
    return await promise
  } finally {
    signal.removeEventListener('abort', stop)
    stdin.off('data', take).off('end', end).off('error', end)
    stdin.setRawMode(wasRaw)
    // Else the open stream would keep the command from ending.
    stdin.pause()
  }
}

function noAnswer(): CliError {
  return new CliError('no answer', { exit: EXIT.usage })
}

/** What is typed while nothing of it is shown. */
class HiddenLine {
  readonly #decoder = new TextDecoder()
  #characters: string[] = []

  get text(): string {
    return this.#characters.join('')
  }

  /** Whether the line is complete. Throws when the user wants to end. */
  take(keys: Uint8Array): boolean {
    for (const key of this.#decoder.decode(keys, { stream: true })) {
      if (key === '\r' || key === '\n') return true
      if (key === KEY.interrupt) throw new Interrupted('SIGINT')
      if (key === KEY.end) throw noAnswer()
      if (key === KEY.backspace || key === KEY.delete) this.#characters.pop()
      else if (key === KEY.eraseLine) this.#characters = []
      else if (key >= ' ' && this.#characters.length < LONGEST_SECRET) this.#characters.push(key)
    }
    return false
  }
}
