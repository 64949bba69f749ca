import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'tap'
import { sendBody } from '../../src/cli/http-upload.ts'
import { ALICE, answer, refuse, startApiServer } from '../support/api-server.ts'

const run = promisify(execFile)
const PATH = '/v1/services/x/uploads'
const MIB = 1024 ** 2

async function* pieces(count: number, onEnd = (): void => {}): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for (let sent = 0; sent < count; sent += 1) yield Buffer.alloc(MIB, sent)
  } finally {
    onEnd()
  }
}

test('a body goes out in constant memory', async (t) => {
  const api = await startApiServer(t)
  api.on(`POST ${PATH}`, async (_, response, raw) => {
    let size = 0
    for await (const chunk of raw as AsyncIterable<Buffer>) size += chunk.length
    answer(response, 201, { size })
  })
  const script = `
    const { sendBody } = await import(process.argv[1])
    const { peakRss } = await import(process.argv[3])
    async function* body() { for (let sent = 0; sent < 768; sent += 1) yield Buffer.alloc(${MIB}, sent) }
    const response = await sendBody(new URL(process.argv[2]), 'POST', {}, body(), new AbortController().signal)
    console.log(JSON.stringify({ ...(await response.json()), rss: peakRss() }))`
  const file = fileURLToPath(new URL('../../src/cli/http-upload.ts', import.meta.url))
  const { stdout } = await run(process.execPath, [
    '--input-type=module',
    '-e',
    script,
    file,
    `${api.url}${PATH}`,
    fileURLToPath(new URL('../support/peak-rss.ts', import.meta.url)),
  ])
  const { size, rss } = JSON.parse(stdout) as { size: number; rss: number }
  t.equal(size, 768 * MIB)
  t.ok(rss < 256 * MIB, `${Math.round(rss / MIB)} MiB at most`)
})

const signal = new AbortController().signal

test('a refusal that comes early is the answer, whether or not the server reads on, and the body is let go', async (t) => {
  const api = await startApiServer(t)
  const send = (onEnd: () => void): Promise<Response> =>
    sendBody(new URL(`${api.url}${PATH}`), 'POST', {}, pieces(64, onEnd), signal)
  const handlers = {
    'reads on': () => {},
    'reads no more': (raw: { pause: () => void }) => raw.pause(),
  }
  for (const [title, meanwhile] of Object.entries(handlers)) {
    api.on(`POST ${PATH}`, (_, response, raw) => {
      meanwhile(raw)
      refuse(response, 413, 'PAYLOAD_TOO_LARGE', 'Too large.')
    })
    const { promise: letGo, resolve } = Promise.withResolvers<void>()
    const response = await send(resolve)
    t.equal(response.status, 413, title)
    t.match(await response.json(), { error: 'PAYLOAD_TOO_LARGE' })
    await letGo
  }
})

test('what fails in the body, on the way, or by the will of the user ends the upload with just that', async (t) => {
  const api = await startApiServer(t)
  const url = new URL(`${api.url}${PATH}`)
  api.on(`POST ${PATH}`, (_, __, raw) => void raw.resume())
  const broken = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    yield Buffer.alloc(MIB)
    throw new Error('the file became shorter')
  }
  await t.rejects(sendBody(url, 'POST', {}, broken(), signal), { message: 'the file became shorter' })
  api.on(`POST ${PATH}`, (_, __, raw) => void raw.once('data', () => raw.socket.destroy()))
  await t.rejects(sendBody(url, 'POST', {}, pieces(64), signal), { code: /ECONNRESET|EPIPE/ })
  const upgrade = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'
  api.on(`POST ${PATH}`, (_, __, raw) => void raw.socket.write(upgrade))
  await t.rejects(sendBody(url, 'POST', {}, pieces(1), signal), { message: /switches protocols/ })
  const abort = new AbortController()
  api.on(`POST ${PATH}`, () => abort.abort())
  await t.rejects(sendBody(url, 'POST', {}, pieces(64), abort.signal), { name: 'AbortError' })
})

test('the headers that were given are sent', async (t) => {
  const api = await startApiServer(t)
  api.on(`POST ${PATH}`, ({ headers }, response) => answer(response, 200, headers))
  const response = await sendBody(
    new URL(`${api.url}${PATH}`),
    'POST',
    { authorization: `Bearer ${ALICE}`, 'content-type': 'application/zstd' },
    pieces(1),
    signal,
  )
  t.match(await response.json(), {
    authorization: `Bearer ${ALICE}`,
    'content-type': 'application/zstd',
    'transfer-encoding': 'chunked',
  })
})
