import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { test } from 'tap'
import { ADMIN_TOKEN, installBerth, type Installation } from '../support/daemon.ts'
import { waitFor } from '../support/wait.ts'

const DOMAIN = 'berth.test'

interface Asked {
  method?: string
  headers?: Record<string, string>
  body?: (send: (piece: Buffer) => Promise<void>) => Promise<void>
}

/** Asks for a path under the control domain, through the ingress or at the API's own port. */
async function ask(
  port: number,
  path: string,
  asked: Asked = {},
): Promise<IncomingMessage & { text: string }> {
  const { method = 'GET', headers = {}, body } = asked
  const call = request({ host: '127.0.0.1', port, path, method, headers: { host: DOMAIN, ...headers } })
  const answered = once(call, 'response') as Promise<[IncomingMessage]>
  await body?.(async (piece) => {
    if (!call.write(piece)) await once(call, 'drain')
  })
  call.end()
  const [response] = await answered
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (piece: string) => (text += piece))
  await once(response, 'end')
  return Object.assign(response, { text })
}

/** The address that the daemon wrote down for a refused call with this forwarding header. */
async function addressSeen(berth: Installation, port: number, claimed: string): Promise<string | undefined> {
  const before = berth.log().length
  await ask(port, '/v1/projects', { headers: { 'x-forwarded-for': claimed } })
  const line = (): string | undefined =>
    berth
      .log()
      .slice(before)
      .split('\n')
      .find((each) => each.includes('"/v1/projects"') || each.includes('/v1/projects'))
  await waitFor('the log line', () => line() !== undefined)
  return /"client_address":"([^"]*)"/.exec(line() ?? '')?.[1]
}

test('API and registry answer under the control domain through the ingress; without the daemon it says 503 at once', async (t) => {
  const berth = await installBerth(t, { BERTH_CONTROL_DOMAIN: DOMAIN })
  const port = berth.httpPort()
  await waitFor('the control domain', async () => (await ask(port, '/healthz')).statusCode === 200)

  const me = await ask(port, '/v1/me', { headers: { authorization: `Bearer ${berth.token()}` } })
  t.equal(me.statusCode, 200)
  t.match(me.text, /"admin"/)

  t.equal(
    await addressSeen(berth, port, '203.0.113.9'),
    '127.0.0.1',
    'nobody may claim an address to the ingress',
  )
  const apiPort = Number(new URL(berth.api()).port)
  t.equal(await addressSeen(berth, apiPort, '203.0.113.9'), '127.0.0.1', 'nor to the API itself')

  const challenge = await ask(port, '/v2/')
  t.equal(challenge.statusCode, 401)
  t.match(challenge.headers['www-authenticate'], new RegExp(`realm="http://${DOMAIN}`))
  const size = 48 * 1024 * 1024
  const piece = Buffer.alloc(1024 * 1024, 'b')
  const hash = createHash('sha256')
  for (let sent = 0; sent < size; sent += piece.length) hash.update(piece)
  const digest = `sha256:${hash.digest('hex')}`
  const pushed = await ask(port, `/v2/default/web/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from('admin:correct horse battery staple').toString('base64')}`,
      'content-type': 'application/octet-stream',
      'content-length': String(size),
    },
    body: async (send) => {
      for (let sent = 0; sent < size; sent += piece.length) await send(piece)
    },
  })
  t.equal(pushed.statusCode, 201, pushed.text)
  t.match(pushed.headers['location'], digest)

  await berth.stop('SIGKILL')
  const away = await ask(port, '/v1/me', { headers: { accept: 'application/json' } })
  t.equal(away.statusCode, 503)
  t.ok(away.headers['retry-after'])
  t.match(JSON.parse(away.text), { error: 'SERVICE_UNAVAILABLE' })
  await berth.start()
  t.equal((await ask(port, '/healthz')).statusCode, 200, 'and it is back with the daemon')
  t.notMatch(berth.log(), ADMIN_TOKEN)
})
