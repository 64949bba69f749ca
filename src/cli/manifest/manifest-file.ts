import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import { messageOf, systemCodeOf } from '../../lib/errors.ts'
import { CliError } from '../cli-error.ts'
import { TomlLines } from './toml-lines.ts'

/** The file in a folder that says which service the folder is, and perhaps how services are set up. It holds no secrets and belongs into version control. */
export const MANIFEST_FILE = 'berth.toml'

const LARGEST = 1024 ** 2

/** A berth.toml that is valid TOML; what it says is not checked yet. */
export interface ManifestFile {
  path: string
  values: Record<string, unknown>
  /** `path:line` of a key, for messages. */
  placeOf(key: readonly string[]): string
}

/** Reads the berth.toml of a folder; undefined when it has none. Throws a CliError that names the line where it is not TOML. */
export function readManifestFile(folder: string): ManifestFile | undefined {
  const path = join(folder, MANIFEST_FILE)
  const text = readText(path)
  if (text === undefined) return undefined
  const values = readToml(path, text)
  let lines: TomlLines | undefined
  return {
    path,
    values,
    placeOf: (key) => {
      lines ??= new TomlLines(text)
      return `${path}:${lines.of(key)}`
    },
  }
}

function readText(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8')
    if (text.length > LARGEST) throw new CliError(`${path} is too large`)
    return text
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error instanceof CliError
      ? error
      : new CliError(`cannot read ${path}: ${messageOf(error)}`, { cause: error })
  }
}

function readToml(path: string, text: string): Record<string, unknown> {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = error.message.split('\n', 1)[0] ?? ''
    throw new CliError(`${path}:${error.line}: ${reason.replace('Invalid TOML document: ', '')}`, {
      cause: error,
    })
  }
}
