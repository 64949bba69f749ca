import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse, stringify, TomlError } from 'smol-toml'
import { messageOf, systemCodeOf } from '../lib/errors.ts'
import { CliError } from './cli-error.ts'

/** The file in a folder that says which service the folder is. It holds names, no secrets, and belongs into version control. */
export const LINK_FILE = 'berth.toml'

export interface Link {
  project?: string
  service?: string
}

const KEYS = ['project', 'service'] as const
const NAME = /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/
const LARGEST = 1024 ** 2

/** Reads the link of a folder; empty when it has none. Throws a CliError that names the line at fault. */
export function readLink(folder: string): Link {
  const path = join(folder, LINK_FILE)
  const text = readText(path)
  if (text === undefined) return {}
  const values = readToml(path, text)
  const link: Link = {}
  for (const [key, value] of Object.entries(values)) {
    const known = KEYS.find((each) => each === key)
    const at = `${path}:${lineOf(text, key)}`
    if (!known)
      throw new CliError(
        `${at}: "${key}" is not a known key; this version of berth knows ${KEYS.join(' and ')}`,
      )
    if (typeof value !== 'string' || !NAME.test(value)) {
      throw new CliError(
        `${at}: ${key} must be a name of lower-case letters, digits and inner hyphens, at most 40`,
      )
    }
    link[known] = value
  }
  return link
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

function lineOf(text: string, key: string): number {
  const index = text.split('\n').findIndex((line) => line.replaceAll(/[\s"'[\]]/g, '').startsWith(key))
  return index + 1
}

/** Links a folder to a service. A folder that is linked already is left as it is: throws a CliError. */
export async function writeLink(folder: string, link: Required<Link>): Promise<void> {
  const path = join(folder, LINK_FILE)
  if (existsSync(path)) throw new CliError(`${path} is there already`)
  const text = `# Which service of a Berth server this folder is; read by berth deploy, logs, releases and others.\n${stringify(link)}\n`
  try {
    await writeFile(path, text.replace(/\n+$/, '\n'), { flag: 'wx' })
  } catch (error) {
    throw new CliError(`cannot write ${path}: ${messageOf(error)}`, { cause: error })
  }
}
