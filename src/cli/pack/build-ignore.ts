import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { type DockerIgnore, parseDockerIgnore } from '../../lib/docker-ignore.ts'
import { messageOf } from '../../lib/errors.ts'
import { CliError } from '../cli-error.ts'

/** What a service says about how it is built; paths count from the folder, and those in the context from the context. */
export interface BuildPlaces {
  context_path: string | null
  dockerfile_path: string | null
}

/** Without a Dockerfile the server reads these to see what it has. */
const MANIFESTS = ['package.json', 'package-lock.json', 'npm-shrinkwrap.json']

/**
 * The `.dockerignore` that the build will obey, for the names of the whole folder: `<Dockerfile>.dockerignore` where there is one, as BuildKit has it. It
 * never takes away itself and what the build begins with. Undefined when there is none.
 */
export function readBuildIgnore(root: string, places: BuildPlaces): DockerIgnore | undefined {
  const context = normalize(places.context_path ?? '')
  const dockerfile = posix.normalize(places.dockerfile_path ?? 'Dockerfile')
  const names = [`${dockerfile}.dockerignore`, '.dockerignore']
  const name = names.find((each) => existsSync(join(root, context, each)))
  if (name === undefined) return undefined
  const path = join(root, context, name)
  const ignore = parse(path)
  const needed = [...names, dockerfile, ...(existsSync(join(root, context, dockerfile)) ? [] : MANIFESTS)]
  const inContext = (each: string): string | undefined =>
    context === '' ? each : each.startsWith(`${context}/`) ? each.slice(context.length + 1) : undefined
  return {
    excludes: (each) => {
      const inside = inContext(each)
      return inside !== undefined && !needed.includes(inside) && ignore.excludes(inside)
    },
    mayIncludeBelow: (folder) => {
      const inside = inContext(folder)
      return (
        inside === undefined ||
        needed.some((each) => each.startsWith(`${inside}/`)) ||
        ignore.mayIncludeBelow(inside)
      )
    },
  }
}

/** `a/b`, or nothing for the folder itself. */
function normalize(path: string): string {
  const normal = posix.normalize(path).replace(/\/$/, '')
  return normal === '.' ? '' : normal
}

function parse(path: string): DockerIgnore {
  try {
    return parseDockerIgnore(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new CliError(`cannot read ${path}: ${messageOf(error)}`, { cause: error })
  }
}
