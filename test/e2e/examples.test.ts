import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { test } from 'tap'
import { newPerson } from '../support/berth-command.ts'
import { EXAMPLES, type Installation, installBerth } from '../support/daemon.ts'

const run = promisify(execFile)

interface Page {
  status: number | undefined
  headers: Record<string, string | string[] | undefined>
  body: string
}

/** Asks for a path of a service by the URL that Berth gave, as a browser would for a name under localhost. */
function visit(url: string, path = ''): Promise<Page> {
  const { hostname, port, host } = new URL(url)
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port, path: `/${path}`, headers: { host }, agent: false },
      (response) => {
        text(response).then(
          (body) => resolve({ status: response.statusCode, headers: response.headers, body }),
          reject,
        )
      },
    )
    sent.once('error', (error) => reject(new Error(`${hostname}: ${error.message}`)))
    sent.end()
  })
}

async function deployExample(
  berth: Installation,
  example: string,
  service: string,
  ...flags: string[]
): Promise<string> {
  const { stdout } = await berth.berth(
    'deploy',
    join(EXAMPLES, example),
    '--project',
    'default',
    '--service',
    service,
    '--yes',
    ...flags,
  )
  return stdout.trim()
}

test('the three examples are deployed by the CLI and answer through the ingress', async (t) => {
  const berth = await installBerth(t)

  await t.test('a Node application with a dependency', async (t) => {
    const url = await deployExample(berth, 'node-hello', 'hello')
    t.equal(url, `http://hello.default.localhost:${berth.httpPort()}/`, 'standard output is the URL')
    t.match(await visit(url), { status: 200, body: 'Hello from Berth!\n' })
  })

  await t.test('a static site', async (t) => {
    const url = await deployExample(berth, 'static-site', 'site')
    const page = await visit(url)
    t.match(page, { status: 200, headers: { 'content-type': /^text\/html/ }, body: /Moored\./ })
    t.match(await visit(url, 'assets/site.css'), { status: 200, headers: { 'content-type': /^text\/css/ } })
    t.match(await visit(url, 'missing'), { status: 404, body: /Nothing is moored here/ })
  })

  await t.test('a multi-stage Dockerfile over images that were made here', async (t) => {
    const { build, runtime } = await makeBaseImages(t.name, berth)
    t.teardown(() => run('docker', ['rmi', '-f', build, runtime]))
    const url = await deployExample(
      berth,
      'multi-stage',
      'stages',
      '--build-arg',
      `BUILD_IMAGE=${build}`,
      '--build-arg',
      `RUNTIME_IMAGE=${runtime}`,
    )
    t.match(await visit(url), { status: 200, body: 'Built in one stage, run in another.\n' })
  })

  await t.test('ps, logs and requests tell of them', async (t) => {
    const services = JSON.parse((await berth.berth('ps', '-o', 'json')).stdout) as {
      name: string
      status: string
    }[]
    t.same(services.map(({ name, status }) => `${name} ${status}`).toSorted(), [
      'hello Running',
      'site Running',
      'stages Running',
    ])
    const { stdout } = await berth.berth('logs', 'default/hello')
    t.match(stdout, /listening on port 8080/)

    const { start } = await newPerson(t, { BERTH_URL: berth.api(), BERTH_TOKEN: berth.token() })
    const following = start(['requests', 'default/site', '-f', '-n', '5'])
    await following.prints('/missing  ')
    await visit(`http://site.default.localhost:${berth.httpPort()}/`, 'followed?secret=1')
    await following.prints('/followed')
    following.signal('SIGINT')
    const { stdout: shown } = await following.ended
    t.match(shown, /  200  GET  site\.default\.localhost\/assets\/site\.css  [\d.]+ ms  127\.0\.0\.1  #1\n/)
    t.match(shown, /  404  GET  site\.default\.localhost\/followed  /, 'without its query')
  })
})

/** A shell from Debian's busybox-static, and the Node runtime that Berth assembled for the example before. */
async function makeBaseImages(
  name: string,
  berth: Installation,
): Promise<{ build: string; runtime: string }> {
  const suffix = name.length.toString(36) + String(berth.httpPort())
  const build = `berth-test/shell:${suffix}`
  const runtime = `berth-test/node:${suffix}`
  const folder = await mkdtemp(join(tmpdir(), 'berth-shell-'))
  const busybox = await firstOf(['/usr/bin/busybox', '/bin/busybox'])
  await run('mkdir', ['-p', join(folder, 'bin'), join(folder, 'tmp')])
  await run('cp', [busybox, join(folder, 'bin', 'busybox')])
  for (const applet of ['sh', 'mkdir', 'sed', 'cat'])
    await run('ln', ['-s', 'busybox', join(folder, 'bin', applet)])
  await run('tar', ['-C', folder, '-cf', join(folder, '..', `${suffix}.tar`), '.'])
  await run('docker', ['import', join(folder, '..', `${suffix}.tar`), build])
  await rm(folder, { recursive: true })
  await rm(join(tmpdir(), `${suffix}.tar`))
  const { stdout } = await run('docker', ['images', '--filter', 'label=berth.kind=base', '-q'])
  const [base = ''] = stdout.split('\n')
  await run('docker', ['tag', base, runtime])
  return { build, runtime }
}

async function firstOf(files: string[]): Promise<string> {
  for (const file of files) {
    const found = await run('test', ['-x', file]).then(
      () => true,
      () => false,
    )
    if (found) return file
  }
  throw new Error(`none of ${files.join(', ')} is there: install busybox-static`)
}
