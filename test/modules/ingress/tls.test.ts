import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { test } from 'tap'
import type { Test } from 'tap'
import { makeCertificate } from '../../support/certificate.ts'
import {
  bodyOf,
  closedPort,
  exchangeRaw,
  get,
  headerOf,
  HOST,
  route,
  startProxy,
  startReplica,
  statusOf,
} from './proxy-fixture.ts'

/** A handshake for `servername`, trusting nothing but `ca`. */
async function handshake(
  t: Test,
  port: number,
  servername: string,
  options: ConnectionOptions = {},
): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, servername, ...options })
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

async function ask(socket: TLSSocket, request: string): Promise<string> {
  let text = ''
  socket.setEncoding('latin1')
  socket.on('data', (piece: string) => (text += piece))
  socket.write(request)
  await once(socket, 'end')
  return text
}

test('a request by TLS reaches the application, which learns that it came so', async (t) => {
  const pair = await makeCertificate(HOST)
  const replica = await startReplica(t, (request, response) => {
    response.end(`${String(request.headers['x-forwarded-proto'])} ${request.headers.forwarded}`)
  })
  const { tlsPort, publish } = await startProxy(t, { certificates: { [HOST]: pair } })
  publish(route(HOST, replica))
  const socket = await handshake(t, tlsPort, HOST, { ca: pair.chain_pem, ALPNProtocols: ['http/1.1'] })
  t.equal(socket.alpnProtocol, 'http/1.1')
  t.match(bodyOf(await ask(socket, get('/'))), /^https for=127\.0\.0\.1;host=.*;proto=https$/)
})

test('each name is shown its own certificate: exact before wildcard, none for others', async (t) => {
  const exact = await makeCertificate('one.example')
  const wildcard = await makeCertificate('*.wild.example')
  const { tlsPort } = await startProxy(t, {
    certificates: { 'one.example': exact, '*.wild.example': wildcard },
  })
  for (const [name, pair] of [
    ['one.example', exact],
    ['ONE.example', exact],
    ['a.wild.example', wildcard],
  ] as const) {
    const socket = await handshake(t, tlsPort, name, { ca: pair.chain_pem })
    t.ok(socket.authorized, name)
  }
  for (const name of ['two.example', 'a.b.wild.example', 'wild.example']) {
    await t.rejects(handshake(t, tlsPort, name, { rejectUnauthorized: false }), name)
  }
  await t.rejects(handshake(t, tlsPort, '', { rejectUnauthorized: false }), 'without a name')
})

test('a fallback, where there is one, answers for every other name and for none', async (t) => {
  const pair = await makeCertificate('fallback.example')
  const { tlsPort, certify } = await startProxy(t, { certificates: { '*': pair } })
  for (const name of ['other.example', '']) {
    const socket = await handshake(t, tlsPort, name, { rejectUnauthorized: false })
    t.equal(socket.getPeerCertificate().subjectaltname, 'DNS:fallback.example', name)
  }
  await certify({})
  await t.rejects(handshake(t, tlsPort, '', { rejectUnauthorized: false }), 'it is gone')
})

test('a new certificate is shown to new connections, and open ones go on', async (t) => {
  const before = await makeCertificate(HOST)
  const after = await makeCertificate(HOST)
  const replica = await startReplica(t, (_request, response) => response.end('ok'))
  const { tlsPort, publish, certify } = await startProxy(t, { certificates: { [HOST]: before } })
  publish(route(HOST, replica))
  const open = await handshake(t, tlsPort, HOST, { ca: before.chain_pem })
  await certify({ [HOST]: after })
  const fresh = await handshake(t, tlsPort, HOST, { ca: after.chain_pem })
  t.ok(fresh.authorized)
  t.equal(bodyOf(await ask(open, get('/'))), 'ok')
})

test('sessions are resumed by TLS 1.2 and 1.3, and 1.1 is refused', async (t) => {
  const pair = await makeCertificate(HOST)
  const replica = await startReplica(t, (_request, response) => response.end('ok'))
  const { tlsPort, publish, context } = await startProxy(t, { certificates: { [HOST]: pair } })
  publish(route(HOST, replica))
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const options = { ca: pair.chain_pem, minVersion: version, maxVersion: version }
    // A ticket may come together with the end of the handshake.
    let session: Buffer | undefined
    const first = connect({ host: '127.0.0.1', port: tlsPort, servername: HOST, ...options })
    first.on('session', (ticket: Buffer) => (session = ticket))
    await once(first, 'secureConnect')
    await ask(first, get('/'))
    t.ok(session, version)
    const second = await handshake(t, tlsPort, HOST, { ...options, ...(session && { session }) })
    t.ok(second.isSessionReused(), version)
    t.equal(second.getProtocol(), version)
    t.equal(bodyOf(await ask(second, get('/'))), 'ok')
  }
  t.equal(context.counters.resumed, 2)
  t.equal(context.counters.handshakes, 4)
  await t.rejects(
    handshake(t, tlsPort, HOST, {
      rejectUnauthorized: false,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT:@SECLEVEL=0',
    }),
  )
})

test('a session is resumed after its key was changed once, by TLS 1.2 and 1.3, and not after it was changed twice', async (t) => {
  const pair = await makeCertificate(HOST)
  const replica = await startReplica(t, (_request, response) => response.end('ok'))
  const { tlsPort, publish, proxy, certify } = await startProxy(t, { certificates: { [HOST]: pair } })
  publish(route(HOST, replica))
  const [first, second, third] = [randomBytes(48), randomBytes(48), randomBytes(48)]
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const options = { ca: pair.chain_pem, minVersion: version, maxVersion: version }
    const visit = async (session?: Buffer): Promise<{ resumed: boolean; ticket: Buffer | undefined }> => {
      let ticket: Buffer | undefined
      const socket = connect({
        host: '127.0.0.1',
        port: tlsPort,
        servername: HOST,
        ...options,
        ...(session && { session }),
      })
      socket.on('session', (given: Buffer) => (ticket = given))
      t.teardown(() => socket.destroy())
      await once(socket, 'secureConnect')
      t.equal(bodyOf(await ask(socket, get('/'))), 'ok')
      return { resumed: socket.isSessionReused(), ticket }
    }
    proxy.tls.useTicketKeys([first])
    const { ticket } = await visit()
    proxy.tls.useTicketKeys([second, first])
    const renewed = await visit(ticket)
    t.ok(renewed.resumed, `${version}: the key before is still good`)
    // The context of the server is another one from here on; its keys must be the same.
    await certify({ [HOST]: pair, '*': pair })
    t.ok(
      (await visit(ticket)).resumed,
      `${version}: also with a new certificate for clients that name no host`,
    )
    await certify({ [HOST]: pair })
    proxy.tls.useTicketKeys([third, second])
    t.notOk((await visit(ticket)).resumed, `${version}: but not for ever`)
    if (version === 'TLSv1.3')
      t.ok(
        (await visit(renewed.ticket)).resumed,
        'who came in between was given a ticket under the newer key',
      )
  }
})

test('more names than contexts are kept are served all the same', async (t) => {
  const pair = await makeCertificate('*.many.example')
  const names = Array.from({ length: 12 }, (_, index) => `n${index}.many.example`)
  const others = await Promise.all(names.map((name) => makeCertificate(name)))
  const { tlsPort } = await startProxy(t, {
    certificates: Object.fromEntries(names.map((name, index) => [name, others[index] ?? pair])),
  })
  for (let round = 0; round < 2; round += 1) {
    const sockets = await Promise.all(
      names.map((name, index) => handshake(t, tlsPort, name, { ca: others[index]?.chain_pem ?? '' })),
    )
    t.ok(sockets.every((socket) => socket.authorized))
  }
})

test('http is sent on to https with path and query where the route says so, but for proofs', async (t) => {
  const { port, publish, context } = await startProxy(t, { trusted: ['127.0.0.1'] })
  publish({ ...route(HOST, await closedPort()), https_only: true })
  const redirect = await exchangeRaw(t, port, get('/a%20b/?q=1&r=/x'))
  t.equal(statusOf(redirect), 308)
  t.equal(headerOf(redirect, 'Location'), `https://${HOST}:${context.httpsPort}/a%20b/?q=1&r=/x`)
  context.httpsPort = 443
  t.equal(headerOf(await exchangeRaw(t, port, get('/')), 'Location'), `https://${HOST}/`)
  const claimed = get('/').replace('\r\n', '\r\nX-Forwarded-Proto: https\r\n')
  t.equal(statusOf(await exchangeRaw(t, port, claimed)), 502, 'a trusted proxy speaks TLS for us')
  const challenges = [
    { kind: 'acme', hostname: HOST, token: 'abc', body: 'abc.thumb' },
    { kind: 'denia', hostname: 'unrouted.example', token: 'xyz', body: 'proof' },
  ] as const
  context.challenges.replace({ version: 1, challenges: [...challenges] })
  t.equal(bodyOf(await exchangeRaw(t, port, get('/.well-known/acme-challenge/abc'))), 'abc.thumb')
  const unrouted = get('/.well-known/denia-challenge/xyz').replace(HOST, 'unrouted.example')
  t.equal(bodyOf(await exchangeRaw(t, port, unrouted)), 'proof')
  const wrongHost = get('/.well-known/denia-challenge/xyz')
  t.equal(statusOf(await exchangeRaw(t, port, wrongHost)), 308, 'a proof is for its own name only')
})
