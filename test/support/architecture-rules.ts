import { builtinModules } from 'node:module'
import { posix } from 'node:path'
import { type Import, scanSource } from './source-scan.ts'

/** Where a source file stands; the words of docs/architecture.md. */
type Layer =
  | 'main'
  | 'composition'
  | 'config'
  | 'http'
  | 'access'
  | 'replica parts'
  | 'schema'
  | 'routes'
  | 'operations'
  | 'module store'
  | 'module'
  | 'ingress'
  | 'ingress contract'
  | 'port'
  | 'runtime'
  | 'store'
  | 'lib'
  | 'api-client'
  | 'cli'
  | 'web'

interface Place {
  layer: Layer
  /** The folder under src/modules, for what lies there. */
  module?: string
}

/** What a file may import: `layer`, `own layer` (the same module) or `other layer` (another module). */
interface Arrows {
  value: string[]
  /** On top of `value`, for imports of which nothing is left at run time. */
  type: string[]
}

const OWN_MODULE = ['own schema', 'own operations', 'own module store', 'own module', 'access']
const OTHER_TYPES = ['other schema', 'other operations', 'other module']

/** The arrows. An import that no line allows is broken. */
const ARROWS: Record<Layer, Arrows> = {
  lib: { value: ['lib'], type: [] },
  config: { value: ['lib'], type: [] },
  store: { value: ['store', 'lib'], type: [] },
  port: { value: ['port', 'lib'], type: [] },
  runtime: { value: ['runtime', 'port', 'lib'], type: ['config'] },
  ingress: { value: ['ingress', 'ingress contract', 'lib'], type: [] },
  // What the control plane and the data plane say to each other.
  'ingress contract': { value: ['ingress contract', 'lib'], type: [] },
  access: { value: ['access', 'lib'], type: [] },
  'replica parts': {
    value: ['replica parts', 'lib', 'port', 'own schema', 'other schema'],
    type: ['own module', 'own module store', 'other schema', 'other module'],
  },
  http: { value: ['http', 'lib', 'access'], type: ['config', 'other schema', 'other operations'] },
  schema: { value: ['lib', 'access', 'own schema', 'other schema', 'http'], type: ['port'] },
  routes: {
    value: ['http', 'lib', 'access', 'own routes', 'own schema', 'other schema'],
    type: ['own operations', 'own module', 'config'],
  },
  operations: {
    value: ['lib', 'port', 'ingress contract', 'replica parts', 'other schema', ...OWN_MODULE],
    type: ['store', 'config', 'ingress', ...OTHER_TYPES],
  },
  'module store': {
    value: ['store', 'lib', 'access', 'own schema', 'other schema'],
    type: ['own module', 'port'],
  },
  module: {
    value: ['lib', 'port', 'ingress contract', 'replica parts', 'other schema', ...OWN_MODULE],
    type: ['store', 'config', 'ingress', ...OTHER_TYPES],
  },
  composition: {
    value: [
      'composition',
      'config',
      'http',
      'access',
      'ingress',
      'ingress contract',
      'port',
      'replica parts',
      'runtime',
      'store',
      'lib',
      'other schema',
      'other routes',
      'other operations',
      'other module store',
      'other module',
    ],
    type: ['ingress contract'],
  },
  main: { value: ['composition', 'config', 'cli', 'lib'], type: [] },
  'api-client': { value: ['api-client'], type: [] },
  cli: { value: ['cli', 'api-client', 'lib'], type: [] },
  web: { value: ['web', 'api-client'], type: [] },
}

const PLACES: [RegExp, Layer][] = [
  [/^src\/main\.ts$/, 'main'],
  [/^src\/((app|daemon)\.ts$|composition\/)/, 'composition'],
  [/^src\/config\.ts$/, 'config'],
  // Who acts and what they may do: the vocabulary of every module.
  [/^src\/modules\/identity\/(actor|authorize|context|permissions)\.ts$/, 'access'],
  // How a replica is named, described, probed and judged: spoken by deployments as by the reconciler.
  [
    /^src\/modules\/replicas\/(container-spec|exit-reason|health-probe|replica-drain|replica-plan)\.ts$/,
    'replica parts',
  ],
  [/^src\/modules\/.*-schema\.ts$/, 'schema'],
  [/^src\/modules\/.*-routes\.ts$/, 'routes'],
  [/^src\/modules\/.*-operations\.ts$/, 'operations'],
  [/^src\/modules\/.*-store\.ts$/, 'module store'],
  [/^src\/modules\/[^/]+\//, 'module'],
  [/^src\/runtime\/(runtime|volume-root|labels)\.ts$/, 'port'],
  [/^src\/ingress\/contract\//, 'ingress contract'],
  [/^src\/(http|ingress|runtime|store|lib|api-client|cli|web)\//, 'lib'],
]

/** Where a file stands, or undefined when the layout has no place for it. */
export function placeOf(file: string): Place | undefined {
  const found = PLACES.find(([pattern]) => pattern.test(file))
  if (!found) return undefined
  const [, folder = '', name = ''] = file.split('/')
  if (folder === 'modules') return { layer: found[1], module: name }
  // The last line of PLACES stands for the folders that are layers themselves.
  return { layer: found === PLACES.at(-1) ? (folder as Layer) : found[1] }
}

/** Layers inside of a module that other modules may import like their own. */
const SHARED: ReadonlySet<Layer> = new Set(['access', 'replica parts'])

function isAllowed(from: Place, to: Place, typeOnly: boolean): boolean {
  const arrows = ARROWS[from.layer]
  const allowed = typeOnly ? [...arrows.value, ...arrows.type] : arrows.value
  if (to.module === undefined || SHARED.has(to.layer)) return allowed.includes(to.layer)
  return allowed.includes(`${to.module === from.module ? 'own' : 'other'} ${to.layer}`)
}

/** Packages that only some files may import. */
const PACKAGE_HOMES: [name: RegExp, home: RegExp, rule: string][] = [
  [/^dockerode(\/|$)/, /^src\/runtime\//, 'dockerode only in src/runtime'],
  [/^better-sqlite3(\/|$)/, /^src\/store\//, 'better-sqlite3 only in src/store'],
  [/^(fastify|@fastify\/.*)$/, /^src\/http\/|-routes\.ts$/, 'fastify only in src/http and *-routes.ts'],
  [/^(node:)?timers(\/promises)?$/, /^src\/lib\//, 'timers only in src/lib'],
]

function brokenImport(file: string, from: Place, each: Import): string[] {
  const { specifier } = each
  if (!specifier.startsWith('.'))
    return brokenPackage(file, each).map((rule) => `${file} -> ${specifier}: ${rule}`)
  const target = posix.join(posix.dirname(file), specifier)
  return brokenArrow(from, target, each.typeOnly).map((rule) => `${file} -> ${target}: ${rule}`)
}

function brokenArrow(from: Place, target: string, typeOnly: boolean): string[] {
  if (target === 'package.json') return []
  // Types made from the API's own description.
  const speaksToApi = ['api-client', 'cli', 'web'].includes(from.layer)
  if (target === 'openapi.d.ts' && typeOnly && speaksToApi) return []
  if (!target.startsWith('src/')) return ['outside src']
  const to = placeOf(target)
  if (!to) return ['the layout has no such place']
  if (isAllowed(from, to, typeOnly)) return []
  const foreign = to.module !== undefined && from.module !== undefined && to.module !== from.module
  const verdict = isAllowed(from, to, true) ? 'types only' : 'not allowed'
  return [`${from.layer} -> ${to.layer}${foreign ? ' of another module' : ''}: ${verdict}`]
}

function brokenPackage(file: string, { specifier, names }: Import): string[] {
  const stray = PACKAGE_HOMES.find(([name, home]) => name.test(specifier) && !home.test(file))
  const runsShell = names.some((name) => /^(exec|execSync|\*|default)$/.test(name))
  const readsEnvironment = names.includes('env') && !READS_ENVIRONMENT.test(file)
  if (builtinModules.includes(specifier)) return ['needs the node: prefix']
  if (stray) return [stray[2]]
  if (specifier === 'node:child_process' && runsShell)
    return ['import spawn or execFile by name; exec runs a shell']
  if (specifier === 'node:process' && readsEnvironment) return ['the environment is read in src/config.ts']
  return []
}

const READS_ENVIRONMENT = /^src\/(config|cli\/environment)\.ts$/

/** What code may not say, where it may all the same, and the rule. Members of other objects (`socket.setTimeout`) are not meant. */
const BANNED: [pattern: RegExp, home: RegExp | undefined, rule: string][] = [
  [
    /\bprocess\s*(\?\.|\.)\s*env\b|\bprocess\s*\[|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b/g,
    READS_ENVIRONMENT,
    'process.env only in src/config.ts and src/cli/environment.ts',
  ],
  [/\bDate\s*\.\s*now\b|\bnew Date\b(?!\s*\(\s*[^\s)])/g, /^src\/lib\//, 'the clock is System in src/lib'],
  [/\bMath\s*\.\s*random\b/g, /^src\/lib\//, 'randomness is System in src/lib'],
  [
    /(?<![.\w$])(globalThis\s*\.\s*)?set(Timeout|Interval|Immediate)\b/g,
    /^src\/lib\//,
    'timers are System in src/lib',
  ],
  [/\bshell\s*:\s*(true\b|['"`])/g, undefined, 'no shell'],
]

function bannedCode(file: string, code: string): string[] {
  return BANNED.flatMap(([pattern, home, rule]) => {
    if (home?.test(file)) return []
    return [...code.matchAll(pattern)].map((match) => `${file}:${lineAt(code, match.index)}: ${rule}`)
  })
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

const MAX_LINES = 300

function badShape(file: string, text: string): string[] {
  const lines = text.split('\n').length - 1
  const name = posix.basename(file)
  return [
    ...(lines > MAX_LINES ? [`${file}: ${lines} lines, at most ${MAX_LINES}; split it by noun`] : []),
    ...(name === 'index.ts' ? [`${file}: no barrels; import the file you mean`] : []),
    ...(/(^|[-/])(utils?|helpers?|common|managers?)([-./]|$)/.test(file)
      ? [`${file}: name it after a noun of the glossary`]
      : []),
  ]
}

/** Every rule that the file at `file` (such as `src/lib/errors.ts`) breaks, one line each; empty when it is sound. */
export function brokenRules(file: string, text: string): string[] {
  const from = placeOf(file)
  if (!from) return [`${file}: the layout has no such place; see docs/architecture.md`]
  const { imports, code } = scanSource(text)
  return [
    ...imports.flatMap((each) => brokenImport(file, from, each)),
    ...bannedCode(file, code),
    ...badShape(file, text),
  ]
}
