import { BuildFailed } from '../../runtime/runtime.ts'
import { findStart } from './node/start-command.ts'
import { type PackageFacts, readPackage } from './node/package-facts.ts'
import type { SourceFolder } from './source-folder.ts'

export type BuildPlan =
  | { builder: 'dockerfile'; dockerfile: string }
  | { builder: 'node'; facts: PackageFacts }
  /** `folder`: where the pages are, relative to the context; empty for the context itself. */
  | { builder: 'static'; folder: string }

export interface BuildChoice {
  builder: 'auto' | BuildPlan['builder']
  /** Inside the context. */
  dockerfile_path: string | null
}

const DOCKERFILE = 'Dockerfile'

/** Where generators of static sites put what they make, the context itself first. */
export const SITE_FOLDERS = ['', 'public', 'dist', 'build', 'out', '_site', 'site', 'www', 'docs'] as const

/** Decides how a context is built; throws BuildFailed with what is supported when nothing fits. */
export async function detectBuild(context: SourceFolder, choice: BuildChoice): Promise<BuildPlan> {
  switch (choice.builder) {
    case 'dockerfile':
      return requireDockerfile(context, choice.dockerfile_path ?? DOCKERFILE)
    case 'node':
      return requireNode(context)
    case 'static':
      return requireSite(context)
    default:
      return detectAny(context, choice.dockerfile_path)
  }
}

async function detectAny(context: SourceFolder, dockerfilePath: string | null): Promise<BuildPlan> {
  if (dockerfilePath !== null) return requireDockerfile(context, dockerfilePath)
  if ((await context.kindOf(DOCKERFILE)) === 'file') return { builder: 'dockerfile', dockerfile: DOCKERFILE }
  const facts = await readPackage(context)
  const site = await findSite(context)
  if (facts && (findStart(facts) !== undefined || facts.scripts['build'] !== undefined))
    return { builder: 'node', facts }
  // A package.json that only holds tools, beside pages that are ready.
  if (site !== undefined) return { builder: 'static', folder: site }
  if (facts) return { builder: 'node', facts }
  throw new BuildFailed(await describeUnknown(context))
}

async function requireDockerfile(context: SourceFolder, dockerfile: string): Promise<BuildPlan> {
  const kind = await context.kindOf(dockerfile)
  if (kind === 'file') return { builder: 'dockerfile', dockerfile }
  const what = kind === undefined ? `There is no ${dockerfile}` : `${dockerfile} is not a file`
  throw new BuildFailed(`${what} in the source${await describeContents(context)}`)
}

async function requireNode(context: SourceFolder): Promise<BuildPlan> {
  const facts = await readPackage(context)
  if (facts) return { builder: 'node', facts }
  throw new BuildFailed(
    `The builder "node" needs a package.json; there is none in the source${await describeContents(context)}`,
  )
}

async function requireSite(context: SourceFolder): Promise<BuildPlan> {
  const folder = await findSite(context)
  if (folder !== undefined) return { builder: 'static', folder }
  throw new BuildFailed(
    `The builder "static" needs an index.html in the source or in one of ${SITE_FOLDERS.filter(Boolean).join(', ')}; there is none${await describeContents(context)}`,
  )
}

async function findSite(context: SourceFolder): Promise<string | undefined> {
  for (const folder of SITE_FOLDERS) {
    if ((await context.kindOf(folder === '' ? 'index.html' : `${folder}/index.html`)) === 'file')
      return folder
  }
  return undefined
}

const MAX_NAMES = 10

/** What is there instead: most often the upload has one folder too many around it. */
async function describeContents(context: SourceFolder): Promise<string> {
  const names = (await context.names()).toSorted()
  if (names.length === 0) return ': it is empty.'
  const [only = ''] = names
  if (names.length === 1 && (await context.kindOf(only)) === 'directory')
    return `, only the folder ${only}: set context_path to "${only}" if the application is in there.`
  const shown = names.slice(0, MAX_NAMES).join(', ')
  return `. It has: ${shown}${names.length > MAX_NAMES ? `, and ${names.length - MAX_NAMES} more` : ''}.`
}

/** Files that tell what was probably meant. */
const FOREIGN: Record<string, string> = {
  Procfile: 'a Procfile',
  'requirements.txt': 'Python',
  'pyproject.toml': 'Python',
  Pipfile: 'Python',
  'go.mod': 'Go',
  'Cargo.toml': 'Rust',
  Gemfile: 'Ruby',
  'composer.json': 'PHP',
  'pom.xml': 'Java',
  'build.gradle': 'Java',
  'mix.exs': 'Elixir',
  'deno.json': 'Deno',
  'docker-compose.yml': 'a Compose file',
  'compose.yaml': 'a Compose file',
}

async function describeUnknown(context: SourceFolder): Promise<string> {
  const names = await context.names()
  const found = Object.keys(FOREIGN).find((name) => names.includes(name))
  const reason =
    found === undefined
      ? `It is not clear how to build this source${await describeContents(context)}`
      : `The source has ${found} (${FOREIGN[found]}), which Berth does not build by itself.`
  return `${reason} Berth builds a Dockerfile, a folder with a package.json, or static files with an index.html. Add a Dockerfile to build anything else.`
}
