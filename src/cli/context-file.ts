import { mkdir, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeDurableFile } from '../lib/durable-file.ts'
import { messageOf, systemCodeOf } from '../lib/errors.ts'
import { CliError } from './cli-error.ts'

/** One saved login. */
export interface Context {
  url: string
  /** Undefined after a logout. */
  token?: string
  /** `api_token`: `token_id` names it. `session`: it ends sooner, and may do what only a signed-in person may. */
  kind?: 'session' | 'api_token'
  token_id?: string
  username?: string
  expires_at?: string
}

export interface Contexts {
  current?: string
  contexts: Record<string, Context>
}

/** The saved logins of this user: one file that nobody else may read. */
export interface ContextFile {
  readonly path: string
  /** Throws a CliError when the file cannot be read. No file: no contexts. */
  read(): Promise<Contexts>
  /** Reads, changes and writes. A change that leaves all as it is does not write. */
  change(apply: (contexts: Contexts) => void): Promise<void>
}

const FORMAT = 1

/** The contexts in the file at `path`. `warn` is told when others may read it. */
export function createContextFile(path: string, warn: (text: string) => void): ContextFile {
  let warned = false
  const read = async (): Promise<Contexts> => {
    let text: string
    try {
      text = await readFile(path, 'utf8')
      const { mode } = await stat(path)
      if ((mode & 0o077) !== 0 && !warned) warn(`${path} holds tokens, and others may read it: chmod 600 it`)
      warned = true
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return { contexts: {} }
      throw new CliError(`cannot read ${path}: ${messageOf(error)}`, { cause: error })
    }
    return parse(path, text)
  }
  return {
    path,
    read,
    change: async (apply) => {
      const contexts = await read()
      const before = JSON.stringify(contexts)
      apply(contexts)
      if (JSON.stringify(contexts) === before) return
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 })
        await writeDurableFile(path, `${JSON.stringify({ format: FORMAT, ...contexts }, undefined, 2)}\n`, {
          mode: 0o600,
        })
      } catch (error) {
        throw new CliError(`cannot write ${path}: ${messageOf(error)}`, { cause: error })
      }
    },
  }
}

function parse(path: string, text: string): Contexts {
  const broken = (why: string, cause?: unknown): CliError =>
    new CliError(`${path} ${why}`, { hints: ['Remove it and sign in again: berth login'], cause })
  let found: { format?: unknown; current?: unknown; contexts?: unknown } | null
  try {
    found = JSON.parse(text)
  } catch (error) {
    throw broken('is not valid JSON', error)
  }
  if (typeof found?.format === 'number' && found.format > FORMAT)
    throw broken('was written by a newer version of berth')
  const { current, contexts } = found ?? {}
  if (typeof contexts !== 'object' || contexts === null) throw broken('holds no contexts')
  const sound = Object.entries(contexts).filter(([, each]) => isContext(each))
  return {
    ...(typeof current === 'string' ? { current } : {}),
    contexts: Object.fromEntries(sound),
  }
}

function isContext(value: unknown): value is Context {
  if (typeof value !== 'object' || value === null) return false
  const { url, token } = value as Record<string, unknown>
  return typeof url === 'string' && URL.canParse(url) && (token === undefined || typeof token === 'string')
}
