import { createHash } from 'node:crypto'
import { request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import type { IncomingMessage } from 'node:http'
import { test } from 'tap'
import type { BuildSpec } from '../../src/runtime/runtime.ts'
import { contextOf } from '../support/busybox-image.ts'
import { dockerHarness, type DockerHarness } from '../support/docker-harness.ts'
import { ENGINE_SOCKET } from '../support/engine.ts'

/** As much as a variable may hold: more than one frame of HTTP/2. */
const TOKEN = `canary-${'f00d'.repeat(16_000)}-end`
const MOUNT = '--mount=type=secret,id=TOKEN,required=true'

async function specOf(
  harness: DockerHarness,
  dockerfile: string,
  secrets: Record<string, string>,
): Promise<BuildSpec> {
  return {
    context: await contextOf({
      Dockerfile: `FROM ${harness.image}\nENV TEST=${harness.prefix}\n${dockerfile}\n`,
    }),
    dockerfile: 'Dockerfile',
    build_args: {},
    secrets,
    labels: {},
    tag: `${harness.prefix}/built:1`,
    memory_bytes: 512 * 1024 * 1024,
    cpu_millis: 1000,
  }
}

const patience = (): AbortSignal => AbortSignal.timeout(120_000)

/** What the engine answers, as bytes: an image with all its layers, say. */
async function askEngine(path: string): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  request({ socketPath: ENGINE_SOCKET, path }, resolve).on('error', reject).end()
  return buffer(await promise)
}

test('steps read the secrets that they ask for, and the image keeps nothing of them', async (t) => {
  const harness = await dockerHarness(t)
  const steps = [
    // Longer than it takes BuildKit to ask whether the session is alive.
    'RUN sleep 6',
    `RUN ${MOUNT} busybox sha256sum < /run/secrets/TOKEN | head -c 64 > /hash`,
    'RUN --mount=type=secret,id=EMPTY test -f /run/secrets/EMPTY -a ! -s /run/secrets/EMPTY',
    'RUN --mount=type=secret,id=OTHER test ! -e /run/secrets/OTHER',
    'RUN test ! -e /run/secrets/TOKEN',
  ]
  const lines: string[] = []
  const spec = await specOf(harness, steps.join('\n'), { TOKEN, EMPTY: '' })
  await harness.runtime.buildImage(spec, ({ line }) => lines.push(line), patience())
  const archive = await askEngine(`/images/${spec.tag}/get`)
  t.ok(archive.includes(createHash('sha256').update(TOKEN).digest('hex')), 'layers can be looked into')
  const history = await askEngine(`/images/${spec.tag}/history`)
  t.ok(history.includes('sha256sum'), 'and the history')
  const config = await askEngine(`/images/${spec.tag}/json`)
  for (const [name, bytes] of Object.entries({ archive, history, config }))
    t.notOk(bytes.includes('canary-'), `nothing in the ${name}`)
  t.notMatch(lines.join('\n'), /canary-/)
})

test('a step that needs a secret which the build does not have fails and says so', async (t) => {
  const harness = await dockerHarness(t)
  const spec = await specOf(harness, `RUN ${MOUNT} true`, { OTHER: 'x' })
  await t.rejects(
    harness.runtime.buildImage(spec, () => {}, patience()),
    { name: 'BuildFailed', message: /TOKEN.*not found/ },
  )
})

test('another value alone builds no step again', async (t) => {
  const harness = await dockerHarness(t)
  const step = `RUN ${MOUNT} head -c 3 /run/secrets/TOKEN`
  await harness.runtime.buildImage(await specOf(harness, step, { TOKEN: 'one' }), () => {}, patience())
  const lines: string[] = []
  const spec = await specOf(harness, step, { TOKEN: 'two' })
  await harness.runtime.buildImage(spec, ({ line }) => lines.push(line), patience())
  t.ok(
    lines.some((line) => line.endsWith('cached')),
    lines.join('\n'),
  )
  t.notOk(lines.includes('two'))
})

test('a build that is cancelled while it reads secrets ends with the reason', async (t) => {
  const harness = await dockerHarness(t)
  const cancel = new AbortController()
  const spec = await specOf(harness, `RUN ${MOUNT} echo running; sleep 1000`, { TOKEN })
  const building = harness.runtime.buildImage(
    spec,
    ({ line }) => line === 'running' && cancel.abort(new Error('stop it')),
    cancel.signal,
  )
  await t.rejects(building, { message: 'stop it' })
})

test('the older builder is given no secrets: the build is refused', async (t) => {
  const harness = await dockerHarness(t, { classicBuilder: true })
  const spec = await specOf(harness, 'RUN true', { TOKEN })
  await t.rejects(
    harness.runtime.buildImage(spec, () => {}, patience()),
    { name: 'BuildFailed', message: /^build_secrets needs BuildKit/ },
  )
  t.ok(spec.context.destroyed)
})
