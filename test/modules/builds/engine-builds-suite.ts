import type { Test } from 'tap'
import { test } from 'tap'
import { type BaseImages, createBaseImages } from '../../../src/modules/builds/base-image/base-image.ts'
import { createBuilds } from '../../../src/modules/builds/build-operations.ts'
import type { BuildSourceRequest, BuiltSource } from '../../../src/modules/builds/build-operations.ts'
import type { ContainerSpec } from '../../../src/runtime/runtime.ts'
import { dockerHarness, type DockerHarness } from '../../support/docker-harness.ts'
import { startRegistry } from './npm-registry.ts'
import { type SourceTree, writeSource } from './source-tree.ts'

interface Built extends BuiltSource {
  lines: string[]
}

/** Put together once: to read and hash Node.js for each build anew would test nothing. */
let ours: BaseImages | undefined

type Choice = Partial<BuildSourceRequest['build']>

export async function build(
  t: Test,
  harness: DockerHarness,
  tree: SourceTree,
  choice: Choice = {},
  base?: string,
): Promise<Built> {
  const { runtime, system, prefix } = harness
  const settings = {
    build_concurrency: 1,
    build_timeout_seconds: 200,
    build_memory_bytes: 1024 ** 3,
    build_cpu_millis: 2000,
    node_base_image: base,
  }
  const lines: string[] = []
  ours ??= createBaseImages({ runtime, configured: undefined })
  const builds = createBuilds({ runtime, system, settings, ...(base === undefined && { baseImages: ours }) })
  const building = builds.buildSource({
    source_dir: await writeSource(t, tree),
    build: {
      builder: 'auto',
      dockerfile_path: null,
      context_path: null,
      target: null,
      build_args: {},
      ...choice,
    },
    secrets: {},
    tag: `${prefix}/app:1`,
    labels: { 'berth.kind': 'image' },
    onLine: ({ line }) => lines.push(line),
    signal: AbortSignal.timeout(250_000),
  })
  // A build that fails on another machine is of use only with what it said.
  building.catch(() => t.comment(lines.join('\n')))
  return { ...(await building), lines }
}

/** Runs the image as Berth would and answers what it says on a path. */
export async function ask(
  { runtime, system, prefix }: DockerHarness,
  image: string,
  path = '/',
  changes: Partial<ContainerSpec> = {},
) {
  const spec: ContainerSpec = {
    name: `${prefix}-app`,
    image,
    env: { PORT: '8080' },
    labels: {},
    network: `${prefix}-net`,
    aliases: ['app'],
    cpu_millis: 1000,
    memory_bytes: 256 * 1024 * 1024,
    pids: 100,
    read_only: false,
    stop_grace_seconds: 20,
    ...changes,
  }
  await runtime.ensureNetwork({ name: spec.network, labels: {} })
  await runtime.ensureContainer(spec)
  await runtime.startContainer(spec.name)
  for (let attempt = 0; attempt < 300; attempt += 1) {
    const info = await runtime.inspectContainer(spec.name)
    if (info?.phase !== 'running')
      throw new Error(`it exited: ${(await lastLines(runtime, spec.name)).join('\n')}`)
    const answer = await fetch(`http://${info.address}:8080${path}`).catch(() => undefined)
    if (answer)
      return { status: answer.status, body: await answer.text(), headers: answer.headers, name: spec.name }
    await system.sleep(50)
  }
  throw new Error('it does not answer')
}

async function lastLines(runtime: DockerHarness['runtime'], name: string): Promise<string[]> {
  const chunks = await Array.fromAsync(
    runtime.followLogs(name, { follow: false, tail: 10 }, AbortSignal.timeout(30_000)),
  )
  return chunks.map(({ line }) => line)
}

/** Answers with what it was given, and ends with 0 on SIGTERM. */
export const SERVER = `
const http = require('node:http')
const fs = require('node:fs')
let greeting = 'alone'
try { greeting = require('greeting') } catch {}
fs.writeFileSync('./written', 'yes')
const server = http.createServer((request, response) => response.end(JSON.stringify({
  greeting, uid: process.getuid(), cwd: process.cwd(), mode: process.env.NODE_ENV, extra: process.env.EXTRA,
  development: fs.existsSync('node_modules/shaper'), made: fs.existsSync('dist/made.txt') && fs.readFileSync('dist/made.txt', 'utf8'),
})))
server.listen(process.env.PORT)
process.on('SIGTERM', () => { console.log('going'); server.close(() => process.exit(0)) })
`

/** What builds must do with either of the engine's builders. */
export function engineBuilds(name: string, classicBuilder: boolean): void {
  void test(`${name}: a Node.js application without dependencies runs as a user that may write where it lives`, async (t) => {
    const harness = await dockerHarness(t, { classicBuilder })
    const tree = {
      'package.json': '{"scripts":{"start":"EXTRA=7 node server.js"}}',
      'server.js': { text: SERVER, mode: 0o600 },
    }
    const { image_id, builder } = await build(t, harness, tree)
    t.equal(builder, 'node')
    const answer = await ask(harness, image_id)
    t.match(JSON.parse(answer.body), {
      greeting: 'alone',
      uid: 1000,
      cwd: '/app',
      mode: 'production',
      extra: '7',
    })
    await harness.runtime.stopContainer(answer.name, 20)
    t.match(
      await harness.runtime.inspectContainer(answer.name),
      { exit_code: 0 },
      'SIGTERM came through the shell of the script',
    )
    t.match(await lastLines(harness.runtime, answer.name), ['going'])
  })

  void test(`${name}: dependencies are installed from the registry that .npmrc names, once`, async (t) => {
    const harness = await dockerHarness(t, { classicBuilder })
    const registry = await startRegistry(t, { greeting: { 'index.js': 'module.exports = "hello"' } })
    const tree = {
      '.npmrc': `registry=${registry.url}\n`,
      'package.json': JSON.stringify({ name: 'app', version: '1.0.0', dependencies: { greeting: '1.0.0' } }),
      'package-lock.json': JSON.stringify({
        name: 'app',
        version: '1.0.0',
        lockfileVersion: 3,
        packages: {
          '': { name: 'app', version: '1.0.0', dependencies: { greeting: '1.0.0' } },
          ...registry.locked,
        },
      }),
      'server.js': SERVER,
      'node_modules/greeting/index.js': 'module.exports = "from another machine"',
    }
    const first = await build(t, harness, tree)
    t.ok(first.lines.some((line) => line.includes('npm ci --omit=dev')))
    t.match(JSON.parse((await ask(harness, first.image_id)).body), { greeting: 'hello', uid: 1000 })
    const asked = registry.requests.length
    t.ok(asked > 0)
    const second = await build(t, harness, { ...tree, 'server.js': `${SERVER}\n// changed` })
    t.equal(registry.requests.length, asked, 'a change of the source installs nothing')
    t.not(second.image_id, first.image_id)
  })

  void test(`${name}: a build script has development dependencies and build arguments, the image has neither`, async (t) => {
    const harness = await dockerHarness(t, { classicBuilder })
    const shaper = {
      'package.json': '{"bin":{"shape":"shape.js"}}',
      'shape.js':
        '#!/usr/bin/env node\nrequire("fs").mkdirSync("dist"); require("fs").writeFileSync("dist/made.txt", "for " + process.env.CUSTOMER)',
    }
    const registry = await startRegistry(t, { greeting: { 'index.js': 'module.exports = "hello"' }, shaper })
    const tree = {
      '.npmrc': `registry=${registry.url}\n`,
      'package.json': JSON.stringify({
        scripts: { build: 'shape && test -f dist/made.txt', start: 'node server.js' },
        dependencies: { greeting: '*' },
        devDependencies: { shaper: '*' },
      }),
      'server.js': SERVER,
    }
    const { image_id, lines } = await build(t, harness, tree, { build_args: { CUSTOMER: 'acme' } })
    t.ok(lines.some((line) => line.includes('no package-lock.json')))
    t.match(JSON.parse((await ask(harness, image_id)).body), {
      greeting: 'hello',
      development: false,
      made: 'for acme',
    })
  })

  void test(`${name}: what a build script makes is served when there is nothing to start`, async (t) => {
    const harness = await dockerHarness(t, { classicBuilder })
    const make =
      'mkdir -p dist/assets && echo "<h1>made</h1>" > dist/index.html && echo "x" > dist/assets/a.css'
    const { image_id, builder } = await build(t, harness, {
      'package.json': JSON.stringify({ scripts: { build: make } }),
    })
    t.equal(builder, 'node')
    const answer = await ask(harness, image_id, '/', { read_only: true })
    t.match(answer, { status: 200, body: '<h1>made</h1>\n' })
    t.equal(
      (await ask(harness, image_id, '/assets/a.css', { read_only: true })).headers.get('content-type'),
      'text/css; charset=utf-8',
    )
  })

  void test(`${name}: static files are served, whatever their modes, and without what is hidden`, async (t) => {
    const harness = await dockerHarness(t, { classicBuilder })
    const tree = {
      'public/index.html': { text: '<h1>site</h1>', mode: 0o600 },
      'public/.env': 'SECRET=1',
      'README.md': 'x',
    }
    const { image_id, builder } = await build(t, harness, tree)
    t.equal(builder, 'static')
    t.match(await ask(harness, image_id), { status: 200, body: '<h1>site</h1>' })
    t.equal((await ask(harness, image_id, '/.env')).status, 404)
  })

  void test(`${name}: a Dockerfile of several stages is built up to its target, and its port is reported`, async (t) => {
    const harness = await dockerHarness(t, { classicBuilder })
    const tree = {
      'deploy/Dockerfile': [
        `FROM ${harness.image} AS made`,
        'ARG WHO',
        'COPY page.txt /page.txt',
        'RUN mkdir /www && echo "$(cat /page.txt) $WHO" > /www/index.html && test ! -e /ignored.txt',
        `FROM ${harness.image} AS web`,
        'COPY --from=made /www /www',
        'EXPOSE 8080 9090/udp',
        'CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]',
        `FROM ${harness.image} AS other`,
        'RUN false',
      ].join('\n'),
      'page.txt': 'from',
      'ignored.txt': 'x',
      '.dockerignore': 'ignored.txt',
    }
    // The classic builder would not skip a stage behind the target either way; what comes after is never begun.
    const choice = { dockerfile_path: 'deploy/Dockerfile', target: 'web', build_args: { WHO: 'stages' } }
    const { image_id, exposed_ports, builder } = await build(t, harness, tree, choice)
    t.match({ exposed_ports, builder }, { exposed_ports: [8080], builder: 'dockerfile' })
    t.match(await ask(harness, image_id), { status: 200, body: 'from stages\n' })
  })
}
