import { BuildFailed } from '../../../runtime/runtime.ts'
import type { PackageFacts } from './package-facts.ts'
import { findStart, type StartCommand } from './start-command.ts'

export interface NodeDockerfileOptions {
  /** The image with Node.js and npm. */
  base: string
  /** Whether that image has a shell. */
  has_shell: boolean
  build_args: Record<string, string>
}

export interface GeneratedBuild {
  dockerfile: string
  /** What a reader of the log should know. */
  notes: string[]
  /** Files of Berth's that the Dockerfile copies, by their name in the folder `berth` of the context. */
  files: ('static-server.mjs' | 'collect-site.mjs')[]
}

/** Where the source lies in the context, apart from what Berth adds. */
export const SOURCE_PREFIX = 'app'
/** Where Berth's own files lie in the context. */
export const BERTH_PREFIX = 'berth'

/** Not root, and the number that images with Node.js have their user `node` under. */
const USER = '1000:1000'
const NPM_CACHE = '/tmp/.npm'
const NPM_FLAGS = ['--no-audit', '--no-fund', '--no-update-notifier', '--cache', NPM_CACHE]
/** Where npm lies in Berth's own base image: without a shell its launcher, a script for `env`, does not start. */
const NPM_CLI = '/usr/lib/node_modules/npm/bin/npm-cli.js'

/**
 * A Dockerfile for a folder with a package.json, for both of the engine's builders.
 *
 * Manifests are copied and installed before the rest, so that a change of the source alone installs nothing. All runs as a user that is
 * not root. With a build script, development dependencies are there for it and gone from the image.
 */
export function nodeDockerfile(facts: PackageFacts, options: NodeDockerfileOptions): GeneratedBuild {
  const start = findStart(facts)
  const builds = facts.scripts['build'] !== undefined
  if (!start && !builds) {
    throw new BuildFailed(
      'package.json has neither a start script nor a build script, and there is no server.js or index.js: it is not clear what to run.',
    )
  }
  if (!options.has_shell) requireNoShell(facts, start)
  const notes = notesOn(facts, options, start)
  // Scripts that run at installation are written for a checkout, where the development dependencies are there (husky, patches).
  const needsDevelopment = builds || (facts.has_install_scripts && facts.has_dev_dependencies)
  if (start && !needsDevelopment)
    return { dockerfile: text(installedApp(facts, options, start)), notes, files: [] }
  if (start) return { dockerfile: text(builtApp(facts, options, start)), notes, files: [] }
  notes.push('There is a build script and nothing to start: what it builds is served as static files.')
  return {
    dockerfile: text(builtSite(facts, options)),
    notes,
    files: ['static-server.mjs', 'collect-site.mjs'],
  }
}

/** A Dockerfile for a folder of static files, which is all of the context's source. */
export function siteDockerfile(base: string): GeneratedBuild {
  return {
    dockerfile: text([
      `FROM ${base}`,
      copyBerth('static-server.mjs'),
      `COPY ${SOURCE_PREFIX}/ /srv/site/`,
      ...serve(),
    ]),
    notes: [],
    files: ['static-server.mjs'],
  }
}

function installedApp(facts: PackageFacts, options: NodeDockerfileOptions, start: StartCommand): string[] {
  return [`FROM ${options.base}`, ...withSource(facts, install(facts, options, 'production')), ...run(start)]
}

function builtApp(facts: PackageFacts, options: NodeDockerfileOptions, start: StartCommand): string[] {
  return [
    ...buildStage(facts, options),
    ...(facts.has_dev_dependencies ? [runNpm(options, ['prune', '--omit=dev'])] : []),
    `FROM ${options.base}`,
    `COPY --from=build --chown=${USER} /app /app`,
    'WORKDIR /app',
    `USER ${USER}`,
    ...run(start),
  ]
}

function builtSite(facts: PackageFacts, options: NodeDockerfileOptions): string[] {
  return [
    ...buildStage(facts, options),
    copyBerth('collect-site.mjs'),
    'RUN ["node", "/opt/berth/collect-site.mjs", "/app", "/tmp/site"]',
    `FROM ${options.base}`,
    copyBerth('static-server.mjs'),
    'COPY --from=build /tmp/site/ /srv/site/',
    ...serve(),
  ]
}

function buildStage(facts: PackageFacts, options: NodeDockerfileOptions): string[] {
  const installed = install(facts, options, 'all')
  return [
    `FROM ${options.base} AS build`,
    ...withSource(facts, installed),
    ...(installed.length === 0 ? buildArguments(options) : []),
    'ENV NODE_ENV=production',
    ...(facts.scripts['build'] === undefined ? [] : [runNpm(options, ['run', 'build'])]),
  ]
}

/** The source on top of what is installed, and the user that it belongs to. */
function withSource(facts: PackageFacts, installed: string[]): string[] {
  if (installed.length === 0) return [copySource(), 'WORKDIR /app', `USER ${USER}`]
  return facts.install_needs_source ? installed : [...installed, copySource()]
}

function install(facts: PackageFacts, options: NodeDockerfileOptions, what: 'production' | 'all'): string[] {
  const isNeeded =
    facts.has_dependencies || (what === 'all' && facts.has_dev_dependencies) || facts.has_install_scripts
  if (!isNeeded) return []
  const manifests = facts.manifests.map((name) => `${SOURCE_PREFIX}/${name}`).join(' ')
  return [
    // The first copy makes /app, with the owner that it gives.
    facts.install_needs_source ? copySource() : `COPY --chown=${USER} ${manifests} /app/`,
    'WORKDIR /app',
    `USER ${USER}`,
    ...buildArguments(options),
    runNpm(options, [
      facts.lockfile === undefined ? 'install' : 'ci',
      what === 'production' ? '--omit=dev' : '--include=dev',
      ...(options.has_shell ? [] : ['--ignore-scripts']),
    ]),
  ]
}

function buildArguments(options: NodeDockerfileOptions): string[] {
  return Object.keys(options.build_args).map((name) => `ARG ${name}`)
}

/** npm, and its cache gone in the same layer. */
function runNpm(options: NodeDockerfileOptions, words: string[]): string {
  const all = [...words, ...NPM_FLAGS]
  return options.has_shell
    ? `RUN npm ${all.join(' ')} && rm -rf ${NPM_CACHE}`
    : `RUN ${JSON.stringify(['node', NPM_CLI, ...all])}`
}

function run(start: StartCommand): string[] {
  return [
    'ENV NODE_ENV=production PATH=/app/node_modules/.bin:$PATH',
    'ENTRYPOINT []',
    `CMD ${JSON.stringify(start.command)}`,
  ]
}

function serve(): string[] {
  return [`USER ${USER}`, 'ENTRYPOINT []', 'CMD ["node", "/opt/berth/static-server.mjs", "/srv/site"]']
}

function copySource(): string {
  return `COPY --chown=${USER} ${SOURCE_PREFIX}/ /app/`
}

function copyBerth(file: GeneratedBuild['files'][number]): string {
  return `COPY ${BERTH_PREFIX}/${file} /opt/berth/${file}`
}

function text(lines: string[]): string {
  return `${lines.join('\n')}\n`
}

function requireNoShell(facts: PackageFacts, start: StartCommand | undefined): void {
  const advice = 'Install busybox-static on the node, set node_base_image, or add a Dockerfile.'
  if (facts.scripts['build'] !== undefined)
    throw new BuildFailed(`The build script needs a shell, and the base image has none. ${advice}`)
  if (start?.needs_shell)
    throw new BuildFailed(`The start script needs a shell, and the base image has none. ${advice}`)
}

function notesOn(
  facts: PackageFacts,
  options: NodeDockerfileOptions,
  start: StartCommand | undefined,
): string[] {
  const { foreign_lockfile, lockfile, node_range } = facts
  const notes: string[] = []
  if (node_range !== undefined)
    notes.push(`package.json asks for Node.js ${node_range}; the base image is ${options.base}.`)
  if (foreign_lockfile !== undefined && lockfile === undefined)
    notes.push(
      `${foreign_lockfile} is not read: npm installs what package.json allows. Add a package-lock.json to pin versions.`,
    )
  else if (facts.has_dependencies && lockfile === undefined)
    notes.push('There is no package-lock.json: npm installs what package.json allows today.')
  if (!options.has_shell)
    notes.push('The base image has no shell: install scripts of dependencies are not run.')
  if (start && !start.gets_signals)
    notes.push(
      'The start script is more than one command: SIGTERM may not reach the application, which is then killed after its grace period.',
    )
  return notes
}
