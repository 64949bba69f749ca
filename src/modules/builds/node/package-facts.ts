import { messageOf } from '../../../lib/errors.ts'
import { BuildFailed } from '../../../runtime/runtime.ts'
import type { SourceFolder } from '../source-folder.ts'

/** What a package.json and the files beside it say about building and running an application. */
export interface PackageFacts {
  scripts: Record<string, string>
  /** The file that runs without a start script, if there is one. */
  entry: string | undefined
  has_dependencies: boolean
  has_dev_dependencies: boolean
  /** Files that decide what is installed, for a layer of their own; package.json first. */
  manifests: string[]
  lockfile: string | undefined
  /** The lockfile of another package manager, which npm does not read. */
  foreign_lockfile: string | undefined
  /** The package has scripts of its own that run when it is installed. */
  has_install_scripts: boolean
  /** Installing needs more than the manifests: workspaces, dependencies on folders, scripts of its own. */
  install_needs_source: boolean
  /** What it asks for in `engines.node`. */
  node_range: string | undefined
}

const MAX_PACKAGE_BYTES = 1024 * 1024
const LOCKFILES = ['npm-shrinkwrap.json', 'package-lock.json']
const FOREIGN_LOCKFILES = ['yarn.lock', 'pnpm-lock.yaml', 'bun.lock', 'bun.lockb']
/** Node.js runs these of its own accord, or people expect it to. */
const ENTRIES = ['server.js', 'server.mjs', 'index.js', 'index.mjs', 'app.js', 'main.js']
/** Scripts of the package itself that npm runs when it installs (npm docs, scripts, "npm ci"). */
const INSTALL_SCRIPTS = [
  'preinstall',
  'install',
  'postinstall',
  'preprepare',
  'prepare',
  'postprepare',
  'prepublish',
]

/** Reads the package.json of a folder; undefined when it has none. Throws BuildFailed when it is not usable. */
export async function readPackage(folder: SourceFolder): Promise<PackageFacts | undefined> {
  const text = await folder.readText('package.json', MAX_PACKAGE_BYTES)
  if (text === undefined) return undefined
  const json = parsePackage(text)
  const scripts = stringsOf(json['scripts'])
  const dependencies = { ...stringsOf(json['dependencies']), ...stringsOf(json['optionalDependencies']) }
  const devDependencies = stringsOf(json['devDependencies'])
  const hasInstallScripts = INSTALL_SCRIPTS.some((name) => scripts[name] !== undefined)
  const lockfile = await firstFile(folder, LOCKFILES)
  const settings = await firstFile(folder, ['.npmrc'])
  return {
    scripts,
    entry: await findEntry(folder, json['main']),
    has_dependencies: Object.keys(dependencies).length > 0 || json['workspaces'] !== undefined,
    has_dev_dependencies: Object.keys(devDependencies).length > 0,
    manifests: ['package.json', lockfile, settings].filter((name) => name !== undefined),
    lockfile,
    foreign_lockfile: await firstFile(folder, FOREIGN_LOCKFILES),
    has_install_scripts: hasInstallScripts,
    install_needs_source:
      json['workspaces'] !== undefined ||
      hasInstallScripts ||
      [...Object.values(dependencies), ...Object.values(devDependencies)].some((range) =>
        /^(file:|link:|\.{0,2}\/|~\/)/.test(range),
      ),
    node_range: stringsOf(json['engines'])['node'],
  }
}

function parsePackage(text: string): Record<string, unknown> {
  let json: unknown
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new BuildFailed(`package.json is not valid JSON: ${messageOf(error)}`)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new BuildFailed('package.json is not an object.')
  return json as Record<string, unknown>
}

function stringsOf(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

async function findEntry(folder: SourceFolder, main: unknown): Promise<string | undefined> {
  if (typeof main === 'string' && main !== '') {
    // As Node.js resolves it: the file, with .js, or the index of a folder.
    const base = main.replace(/^\.\//, '').replace(/\/$/, '')
    return (await firstFile(folder, [base, `${base}.js`, `${base}/index.js`])) ?? firstFile(folder, ENTRIES)
  }
  return firstFile(folder, ENTRIES)
}

async function firstFile(folder: SourceFolder, names: string[]): Promise<string | undefined> {
  for (const name of names) if ((await folder.kindOf(name)) === 'file') return name
  return undefined
}
