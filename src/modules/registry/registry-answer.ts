import type { FileHandle } from 'node:fs/promises'

/** A part of an open file; whoever sends it closes the file. */
export interface FilePart {
  readonly handle: FileHandle
  readonly start: number
  /** Exclusive. */
  readonly end: number
  /** Memory to read into, aligned for direct I/O. */
  readonly memory?: readonly Buffer[] | undefined
  /** To be told when it is over: how long reading so many bytes was waited for. */
  readonly release?: ((bytes: number, readMs: number) => void) | undefined
}

/** What a request of /v2 is answered with, before it is bytes. */
export interface RegistryAnswer {
  readonly status: number
  readonly headers: Record<string, string | number | string[]>
  /** Without one, or for HEAD, only the headers go out. */
  readonly body?: Buffer | string | FilePart
}

export function jsonAnswer(
  status: number,
  value: unknown,
  headers: RegistryAnswer['headers'] = {},
): RegistryAnswer {
  const body = JSON.stringify(value)
  return {
    status,
    headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), ...headers },
    body,
  }
}

export function emptyAnswer(status: number, headers: RegistryAnswer['headers'] = {}): RegistryAnswer {
  return { status, headers: { 'Content-Length': 0, ...headers } }
}
