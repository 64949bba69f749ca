import { test } from 'tap'
import { nodeDockerfile, siteDockerfile } from '../../../src/modules/builds/node/node-dockerfile.ts'
import { type PackageFacts, readPackage } from '../../../src/modules/builds/node/package-facts.ts'
import { findStart } from '../../../src/modules/builds/node/start-command.ts'
import { openSourceFolder } from '../../../src/modules/builds/source-folder.ts'
import { writeSource } from './source-tree.ts'

const STARTS: [script: string, command: string[], gets_signals: boolean][] = [
  ['node server.js', ['node', 'server.js'], true],
  ['  node   --enable-source-maps  dist/main.js ', ['node', '--enable-source-maps', 'dist/main.js'], true],
  ['next start', ['next', 'start'], true],
  ['next start -p $PORT', ['sh', '-c', 'exec env next start -p $PORT'], true],
  ['NODE_ENV=production node .', ['sh', '-c', 'exec env NODE_ENV=production node .'], true],
  ['node -e "console.log(1)"', ['sh', '-c', 'node -e "console.log(1)"'], false],
  ['node migrate.js && node server.js', ['sh', '-c', 'node migrate.js && exec env node server.js'], true],
  ['node a.js & node b.js', ['sh', '-c', 'node a.js & node b.js'], false],
  ['node a.js || node b.js', ['sh', '-c', 'node a.js || node b.js'], false],
  ['cd app && node .', ['sh', '-c', 'cd app && exec env node .'], true],
  ['cd app', ['sh', '-c', 'cd app'], false],
  ['(a && b) && node .', ['sh', '-c', '(a && b) && node .'], false],
  ['echo "a && b" && node .', ['sh', '-c', 'echo "a && b" && node .'], false],
  ['node . | tee log', ['sh', '-c', 'node . | tee log'], false],
  ['node . > log', ['sh', '-c', 'node . > log'], false],
  ['node . # start', ['sh', '-c', 'node . # start'], false],
  ['echo $npm_package_version && node .', ['npm', 'start'], false],
]

void test('a start script is run as directly as its text allows', async (t) => {
  for (const [start, command, gets_signals] of STARTS)
    t.match(findStart({ scripts: { start }, entry: undefined }), { command, gets_signals }, start)
})

void test('a start script that calls another one is that one, with what goes before it', async (t) => {
  const of = (scripts: Record<string, string>) => findStart({ scripts, entry: undefined })?.command
  t.same(of({ start: 'npm run serve', serve: 'node x.js' }), ['node', 'x.js'])
  t.same(of({ start: 'npm run serve', preserve: 'node y.js', serve: 'node x.js' }), [
    'sh',
    '-c',
    'node y.js && exec env node x.js',
  ])
  t.same(of({ prestart: 'node m.js', start: 'node x.js' }), ['sh', '-c', 'node m.js && exec env node x.js'])
  t.same(of({ start: 'npm run missing' }), ['npm', 'run', 'missing'])
  t.ok(of({ start: 'npm run start' }), 'a circle ends')
})

void test('without a start script the entry file is run; without either there is nothing', async (t) => {
  t.same(findStart({ scripts: {}, entry: 'index.js' })?.command, ['node', 'index.js'])
  t.same(findStart({ scripts: { start: ' ' }, entry: 'index.js' })?.command, ['node', 'index.js'])
  t.equal(findStart({ scripts: {}, entry: undefined }), undefined)
})

void test('a package tells what is installed, from which files, and what is run', async (t) => {
  const source = openSourceFolder(
    await writeSource(t, {
      'package.json': JSON.stringify({
        main: './lib',
        scripts: { build: 'tsc', broken: 7 },
        dependencies: { ms: '2' },
        devDependencies: { tap: '1' },
        engines: { node: '>=20' },
      }),
      'package-lock.json': '{}',
      '.npmrc': '',
      'yarn.lock': '',
      'lib/index.js': '',
    }),
  )
  t.same(await readPackage(source), {
    scripts: { build: 'tsc' },
    entry: 'lib/index.js',
    has_dependencies: true,
    has_dev_dependencies: true,
    manifests: ['package.json', 'package-lock.json', '.npmrc'],
    lockfile: 'package-lock.json',
    foreign_lockfile: 'yarn.lock',
    has_install_scripts: false,
    install_needs_source: false,
    node_range: '>=20',
  })
})

void test('workspaces, own install scripts and dependencies on folders need the source to install', async (t) => {
  const needs = async (json: object) => {
    const source = openSourceFolder(await writeSource(t, { 'package.json': JSON.stringify(json) }))
    return (await readPackage(source))?.install_needs_source
  }
  t.equal(await needs({ workspaces: ['packages/*'] }), true)
  t.equal(await needs({ scripts: { postinstall: 'prisma generate' } }), true)
  t.equal(await needs({ dependencies: { a: 'file:../a' } }), true)
  t.equal(await needs({ dependencies: { a: '^1.0.0', b: '~2', c: 'github:x/y' } }), false)
})

const FACTS: PackageFacts = {
  scripts: { start: 'node server.js' },
  entry: undefined,
  has_dependencies: false,
  has_dev_dependencies: false,
  manifests: ['package.json'],
  lockfile: undefined,
  foreign_lockfile: undefined,
  has_install_scripts: false,
  install_needs_source: false,
  node_range: undefined,
}
const OPTIONS = { base: 'base:1', has_shell: true, build_args: {} }

function generate(facts: Partial<PackageFacts>, options: Partial<typeof OPTIONS> = {}) {
  const { dockerfile, ...rest } = nodeDockerfile({ ...FACTS, ...facts }, { ...OPTIONS, ...options })
  return { lines: dockerfile.trimEnd().split('\n'), ...rest }
}

void test('without dependencies nothing is installed, and without a network nothing fails', async (t) => {
  const { lines, notes } = generate({})
  t.same(lines, [
    'FROM base:1',
    'COPY --chown=1000:1000 app/ /app/',
    'WORKDIR /app',
    'USER 1000:1000',
    'ENV NODE_ENV=production PATH=/app/node_modules/.bin:$PATH',
    'ENTRYPOINT []',
    'CMD ["node","server.js"]',
  ])
  t.same(notes, [])
})

void test('manifests are installed before the source is copied, with npm ci where there is a lockfile', async (t) => {
  const facts = {
    has_dependencies: true,
    lockfile: 'package-lock.json',
    manifests: ['package.json', 'package-lock.json', '.npmrc'],
  }
  const { lines } = generate(facts)
  const copied = lines.indexOf(
    'COPY --chown=1000:1000 app/package.json app/package-lock.json app/.npmrc /app/',
  )
  const installed = lines.findIndex((line) => line.startsWith('RUN npm ci --omit=dev '))
  const source = lines.indexOf('COPY --chown=1000:1000 app/ /app/')
  t.ok(copied > 0 && copied < installed && installed < source, lines.join('\n'))
  t.ok(lines.indexOf('USER 1000:1000') < installed, 'not as root')
  t.ok(
    generate({ has_dependencies: true }).lines.some((line) => line.startsWith('RUN npm install --omit=dev ')),
  )
})

void test('a build script gets development dependencies, and the image does not', async (t) => {
  const facts = {
    scripts: { build: 'tsc', start: 'node .' },
    has_dependencies: true,
    has_dev_dependencies: true,
    lockfile: 'package-lock.json',
  }
  const { lines } = generate(facts, { build_args: { API: 'x' } })
  const order = [
    'FROM base:1 AS build',
    'ARG API',
    'RUN npm ci --include=dev',
    'RUN npm run build',
    'RUN npm prune --omit=dev',
    'COPY --from=build',
    'CMD',
  ]
  const places = order.map((start) => lines.findIndex((line) => line.startsWith(start)))
  t.ok(
    places.every((place) => place >= 0),
    lines.join('\n'),
  )
  t.same(
    places,
    places.toSorted((a, b) => a - b),
  )
  t.notOk(
    lines.some((line) => line.includes('API=')),
    'values of build arguments are not written down',
  )
})

void test('a package with a build and nothing to start is served as a site', async (t) => {
  const { lines, notes, files } = generate({ scripts: { build: 'vite build' }, has_dev_dependencies: true })
  t.same(files, ['static-server.mjs', 'collect-site.mjs'])
  t.ok(lines.includes('CMD ["node", "/opt/berth/static-server.mjs", "/srv/site"]'))
  t.match(notes.join('\n'), /served as static files/)
})

void test('a base without a shell gets no shell form, and says what it cannot do', async (t) => {
  const { lines, notes } = generate(
    { has_dependencies: true, lockfile: 'package-lock.json' },
    { has_shell: false },
  )
  t.notOk(
    lines.some((line) => line.startsWith('RUN ') && !line.startsWith('RUN [')),
    lines.join('\n'),
  )
  t.ok(lines.some((line) => line.includes('--ignore-scripts')))
  t.match(notes.join('\n'), /no shell: install scripts of dependencies are not run/)
  t.throws(() => generate({ scripts: { build: 'x' } }, { has_shell: false }), {
    name: 'BuildFailed',
    message: /busybox-static/,
  })
  t.throws(() => generate({ scripts: { start: 'a && b' } }, { has_shell: false }), {
    name: 'BuildFailed',
    message: /needs a shell/,
  })
})

void test('what is not as it seems is noted', async (t) => {
  const { notes } = generate({
    has_dependencies: true,
    foreign_lockfile: 'pnpm-lock.yaml',
    node_range: '^18',
    scripts: { start: 'a | b' },
  })
  t.match(notes.join('\n'), /Node\.js \^18/)
  t.match(notes.join('\n'), /pnpm-lock\.yaml is not read/)
  t.match(notes.join('\n'), /SIGTERM may not reach/)
})

void test('nothing to run is a failure of the build that says so', async (t) => {
  t.throws(() => generate({ scripts: {} }), {
    name: 'BuildFailed',
    message: /neither a start script nor a build script/,
  })
})

void test('static files are served by a user that cannot change them', async (t) => {
  const lines = siteDockerfile('base:1').dockerfile.split('\n')
  t.ok(lines.includes('COPY app/ /srv/site/'))
  t.ok(lines.includes('USER 1000:1000'))
})
