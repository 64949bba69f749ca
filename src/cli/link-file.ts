import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'smol-toml'
import { messageOf } from '../lib/errors.ts'
import { CliError } from './cli-error.ts'
import { MANIFEST_FILE, readManifestFile } from './manifest/manifest-file.ts'

export const LINK_FILE = MANIFEST_FILE

/** Which service a folder is. */
export interface Link {
  project?: string
  service?: string
}

const NAMES = ['project', 'service'] as const
const NAME = /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/

/** Reads the link of a folder; empty when it has none. Throws a CliError that names the line at fault. */
export function readLink(folder: string): Link {
  const file = readManifestFile(folder)
  const link: Link = {}
  for (const [key, value] of Object.entries(file?.values ?? {})) {
    const at = file?.placeOf([key])
    const known = NAMES.find((each) => each === key)
    // What is in there is checked against the server's schema by the commands that use it.
    if (key === 'services') continue
    if (!known)
      throw new CliError(`${at}: "${key}" is not a known key; known are ${NAMES.join(', ')} and services`, {
        hints: [
          `${LINK_FILE} in a folder says which service it is. The configuration of a server may have that name too: next to it, name services as PROJECT/SERVICE.`,
        ],
      })
    if (typeof value !== 'string' || !NAME.test(value)) {
      throw new CliError(
        `${at}: ${key} must be a name of lower-case letters, digits and inner hyphens, at most 40`,
      )
    }
    link[known] = value
  }
  return { ...onlyService(file?.values['services']), ...link }
}

/** A manifest of one service need not say which one the folder is. */
function onlyService(services: unknown): Link {
  if (typeof services !== 'object' || services === null) return {}
  const [name, ...others] = Object.keys(services)
  return name !== undefined && others.length === 0 && NAME.test(name) ? { service: name } : {}
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
