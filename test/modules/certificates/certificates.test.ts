import { execFile } from 'node:child_process'
import { generateKeyPair } from 'node:crypto'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { test } from 'tap'
import { newPerson } from '../../support/berth-command.ts'
import { makeCertificate } from '../../support/certificate.ts'
import { waitFor } from '../../support/wait.ts'
import { ask, NAME, openNode, openTls } from './node-fixture.ts'

const run = promisify(execFile)

/** Without leading zeros, which not everyone writes. */
const plain = (serial: unknown): string => String(serial).toLowerCase().replace(/^0+/, '')
const serialOf = (socket: TLSSocket): string => plain(socket.getPeerCertificate().serialNumber)

test('a verified domain gets a certificate, which is renewed under open connections, and revoked', async (t) => {
  const { app, api, root, pebble, httpsPort, domain, active } = await openNode(t)
  const first = await active()
  t.match(first, { source: 'acme', hostnames: [NAME], serves: [NAME], last_error: null, failures: 0 })
  t.match((await app.must(root, 'GET', domain)).body, {
    certificate: { id: first['id'], status: 'active', last_error: null },
  })
  const ca = await pebble.root()
  const directory = t.testdir({ 'root.pem': ca })
  const options = `-sS --http1.1 --resolve ${NAME}:${httpsPort}:127.0.0.1 -o /dev/null`
  const curl = await run('curl', [
    ...options.split(' '),
    '--cacert',
    join(directory, 'root.pem'),
    '-w',
    '%{ssl_verify_result} %{http_code}',
    `https://${NAME}:${httpsPort}/`,
  ])
  t.match(curl.stdout, /^0 404$/, 'nothing is deployed; the certificate is good')

  const old = await openTls(httpsPort, ca)
  t.teardown(() => old.destroy())
  t.match(await ask(old), /404/)
  t.equal(serialOf(old), plain(first['serial']))
  const { berth } = await newPerson(t, { BERTH_URL: api, BERTH_TOKEN: root })
  t.match(await berth(['certs', 'renew', NAME]), { status: 0 })
  const second = await active(first['serial'])
  await waitFor('new clients see it', async () => {
    const fresh = await openTls(httpsPort, ca)
    // Asked first: a socket that is destroyed knows no certificate.
    const serial = serialOf(fresh)
    fresh.destroy()
    return serial === plain(second['serial'])
  })
  t.match(await ask(old), /404/, 'the connection that was open goes on')

  const revoked = await berth(['certs', 'revoke', NAME, '--reason', 'superseded', '--yes', '-o', 'json'])
  t.match(JSON.parse(revoked.stdout), { status: 'pending', serial: null })
  t.equal(await pebble.statusOf(String(second['serial'])), 'Revoked')
  const third = await active(second['serial'])
  t.not(third['serial'], second['serial'])
  const actions = (await app.must(root, 'GET', '/v1/audit-events')).list
    .filter((each) => each['resource_kind'] === 'certificate')
    .map((each) => each['action'])
  t.same(actions.toReversed(), [
    'obtainCertificate',
    'renewCertificate',
    'renewCertificate',
    'revokeCertificate',
    'obtainCertificate',
  ])
})

test('an uploaded certificate is checked, comes first, and leaves nothing behind', async (t) => {
  const { app, api, root, httpsPort, project, service, active, certificates } = await openNode(t)
  await active()
  const make = async (...names: string[]) => {
    const { chain_pem, key_pem } = await makeCertificate(...names)
    return { certificate: chain_pem, private_key: key_pem }
  }
  const own = await make(NAME, '*.example.org')
  const other = await make('elsewhere.example.net')
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 4104 })
  const large = privateKey.export({ type: 'pkcs8', format: 'pem' })
  const bad: [object, string, RegExp][] = [
    [{ ...own, private_key: other.private_key }, 'private_key', /does not belong/],
    [other, 'certificate', /none of which is a domain here/],
    [{ ...own, certificate: 'hello' }, 'certificate', /must hold a PEM certificate/],
    [{ ...own, private_key: own.certificate }, 'private_key', /must be a private key/],
    [{ ...own, private_key: String(large) }, 'private_key', /has 4104 bits/],
    [{ ...own, certificate: own.certificate + other.certificate }, 'certificate', /out of order/],
    [
      { ...own, certificate: own.certificate.replace(/[A-Za-z0-9]{40}\n/, `${'A'.repeat(40)}\n`) },
      'certificate',
      /cannot be read|names no host/,
    ],
  ]
  for (const [body, field, message] of bad) {
    const refused = await app.send(root, 'POST', '/v1/certificates', { project_id: project, ...body })
    t.equal(refused.status, 400, String(message))
    t.match(refused.body.details, [{ field, message }])
    t.notMatch(refused.text, /PRIVATE KEY/)
  }
  const files = t.testdir({ 'chain.pem': own.certificate, 'key.pem': own.private_key })
  const { berth } = await newPerson(t, { BERTH_URL: api, BERTH_TOKEN: root })
  const sent = await berth(['certs', 'upload', 'chain.pem', 'key.pem', '--project', 'shop', '-o', 'json'], {
    directory: files,
  })
  t.equal(sent.status, 0, sent.stderr)
  const made = { body: JSON.parse(sent.stdout) as Record<string, unknown>, text: sent.stdout }
  t.match(made.body, { source: 'upload', status: 'active', serves: [NAME], next_attempt_at: null })
  t.notMatch(made.text + app.log(), /PRIVATE KEY/)
  const socket = await openTls(httpsPort, own.certificate)
  t.equal(
    socket.getPeerCertificate().fingerprint256.replaceAll(':', '').toLowerCase(),
    made.body['fingerprint'],
  )
  socket.destroy()
  await waitFor('the one that was obtained is not needed', async () => (await certificates()).length === 1)

  t.equal((await app.send(root, 'POST', `/v1/certificates/${String(made.body['id'])}/renew`)).status, 409)
  t.equal(
    (await app.send(root, 'POST', `/v1/certificates/${String(made.body['id'])}/revoke`, {})).status,
    409,
  )
  t.match((await berth(['certs'])).stdout, new RegExp(`${NAME} .*upload +active +${NAME} `))
  const successor = { project_id: project, ...(await make(NAME)) }
  const { body: second } = await app.must(root, 'POST', '/v1/certificates', successor)
  t.match(second, { serves: [NAME] }, 'the newest one serves')
  t.match((await berth(['certs'])).stdout, /upload +active +all[^]*upload +active +none/)
  t.match(await berth(['certs', 'rm', NAME, '--yes']), {
    status: 2,
    stderr: new RegExp(`${String(second['id'])} .*serves all[^]*serves none`),
  })
  await app.must(root, 'DELETE', `/v1/certificates/${String(second['id'])}`)
  t.match(await berth(['certs', 'rm', NAME, '--yes']), { status: 0 })
  const obtained = await active()
  t.equal(obtained['source'], 'acme', 'and then one is obtained again')
  t.equal((await app.send(root, 'DELETE', `/v1/certificates/${String(obtained['id'])}`)).status, 409)

  await app.must(root, 'POST', '/v1/certificates', { project_id: project, ...own })
  await app.must(root, 'DELETE', `/v1/services/${service}`)
  await waitFor(
    'the project is empty',
    async () => (await app.send(root, 'DELETE', `/v1/projects/${project}`)).status === 204,
  )
  t.same(await certificates(), [])
  const kept = join(app.dataDir, 'ingress', 'certificates')
  await waitFor('the files are gone', async () => (await readdir(kept)).length === 0)
  await t.rejects(openTls(httpsPort, own.certificate), 'nobody answers to the name any more')
})

test("another project's certificates are not there, and not usable; the API answers proofs too, to their Host alone", async (t) => {
  const asked: string[] = []
  const answer = async ({ url = '', headers }: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { server } = (await opened).app
    const other = await server.inject({ url, headers: { host: 'other.example.com' } })
    const own = await server.inject({ url, headers: { host: headers.host ?? '' } })
    asked.push(`${other.statusCode} ${own.statusCode} ${url.split('/').slice(0, -1).join('/')}`)
    response.writeHead(own.statusCode).end(own.rawPayload)
  }
  const port = createServer((request, response) => void answer(request, response))
  port.listen(0, '127.0.0.1')
  await once(port, 'listening')
  t.teardown(() => port.close())
  const opened = openNode(t, { proofPort: (port.address() as AddressInfo).port })
  const { app, root, project, active } = await opened
  const { id } = await active()
  t.match(asked[0], '404 200 /.well-known/acme-challenge')
  const other = String((await app.must(root, 'POST', '/v1/projects', { name: 'other' })).body['id'])
  const user = await app.must(root, 'POST', '/v1/users', {
    username: 'eve',
    password: 'a long enough password',
  })
  await app.must(root, 'POST', `/v1/projects/${other}/members`, { user_id: user.body['id'], role: 'admin' })
  const eve = await app.login('eve')
  t.same((await app.must(eve, 'GET', '/v1/certificates')).list, [])
  for (const [method, path] of [
    ['GET', ''],
    ['DELETE', ''],
    ['POST', '/renew'],
  ] as const)
    t.equal((await app.send(eve, method, `/v1/certificates/${String(id)}${path}`)).status, 404, method)
  t.equal((await app.send(eve, 'POST', `/v1/certificates/${String(id)}/revoke`, {})).status, 404)
  const hidden = await app.send(eve, 'GET', `/v1/certificates?project_id=${project}`)
  t.match(hidden, { status: 404, body: { details: [{ field: 'project_id' }] } })
})
