import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'tap'
import { newPerson } from '../../support/berth-command.ts'
import { waitFor } from '../../support/wait.ts'
import { chooseCertificates, planSelfSigned } from '../../../src/modules/certificates/certificate-plan.ts'
import { emptyRow } from '../../../src/modules/certificates/certificate-row.ts'
import {
  type CertificateRow,
  type CertificateSource,
  soonestAttempt,
} from '../../../src/modules/certificates/certificate-schema.ts'
import { createPairKeeper } from '../../../src/modules/certificates/pair-keeper.ts'
import { makeSelfSigned } from '../../../src/modules/certificates/self-signed-pairs.ts'
import { createSelfSignedUpkeep } from '../../../src/modules/certificates/self-signed-upkeep.ts'
import { createSystem } from '../../../src/lib/system.ts'
import { memoryFiles, openStore } from './certificate-fixture.ts'
import { ask, NAME, openNode, openTls } from './node-fixture.ts'

const run = promisify(execFile)
const DAY_MS = 86_400_000

test('a domain that asks for it answers at once with a self-signed certificate, until a real one takes its place', async (t) => {
  const node = await openNode(t, { domain: { self_signed: true }, authorityAway: true })
  const { app, root, pebble, httpPort, httpsPort, domain, certificates } = node
  const { body } = await app.must(root, 'GET', domain)
  t.match(body, {
    self_signed: true,
    certificate: { source: 'self_signed', status: 'active', last_error: null },
  })
  const own = (await certificates()).find((each) => each['source'] === 'self_signed')
  t.match(own, { hostnames: [NAME], serves: [NAME], issuer: 'Berth (self-signed)', project_id: node.project })
  const curl = async (...options: string[]): Promise<string> =>
    (
      await run('curl', [
        ...`-sS -o /dev/null --resolve ${NAME}:${httpsPort}:127.0.0.1 -w %{ssl_verify_result}_%{http_code}`.split(
          ' ',
        ),
        ...options,
        `https://${NAME}:${httpsPort}/`,
      ])
    ).stdout
  await t.rejects(curl(), /self.signed certificate/, 'nobody trusts it unasked')
  t.match(await curl('-k'), /_404$/, 'nothing is deployed')
  // What a client is shown, as openssl reads it.
  const shown = await run('sh', [
    '-c',
    `openssl s_client -connect 127.0.0.1:${httpsPort} -servername ${NAME} </dev/null 2>/dev/null | openssl x509`,
  ])
  const file = join(t.testdir({}), 'own.pem')
  await writeFile(file, shown.stdout)
  t.equal(await curl('--cacert', file), '0_404', 'who trusts this very one is content')
  const leaf = new X509Certificate(shown.stdout)
  t.equal(leaf.fingerprint256.replaceAll(':', '').toLowerCase(), own?.['fingerprint'])
  t.match(leaf, { ca: false, subjectAltName: `DNS:${NAME}` })
  const plain = `-sS -o /dev/null -w %{http_code} --resolve ${NAME}:${httpPort}:127.0.0.1 http://${NAME}:${httpPort}/`
  t.equal((await run('curl', plain.split(' '))).stdout, '404', 'plain requests are not sent on to it')

  const directory = join(app.dataDir, 'ingress', 'certificates')
  const [sealed = ''] = await readdir(directory)
  t.equal((await stat(join(directory, sealed))).mode & 0o777, 0o600)
  t.notMatch(await readFile(join(directory, sealed), 'latin1'), /PRIVATE KEY|CERTIFICATE/)
  t.equal((await app.send(root, 'DELETE', `/v1/certificates/${String(own?.['id'])}`)).status, 409)
  t.equal((await app.send(root, 'POST', `/v1/certificates/${String(own?.['id'])}/revoke`, {})).status, 409)

  const old = await openTls(httpsPort, shown.stdout)
  t.teardown(() => old.destroy())
  t.match(await ask(old), /404/)
  const awaited = await waitFor('the order has failed', async () => {
    const { certificate } = (await app.must(root, 'GET', domain)).body as {
      certificate: { obtaining: { id: string; last_error: string | null } | null }
    }
    return typeof certificate.obtaining?.last_error === 'string' ? certificate.obtaining : undefined
  })
  t.match(awaited.last_error, /cannot be reached/, 'what is to come is seen, too')
  await pebble.start()
  await app.must(root, 'POST', `/v1/certificates/${awaited.id}/renew`)
  await waitFor('the self-signed one has gone', async () => {
    const all = await certificates()
    return all.length === 1 && all[0]?.['source'] === 'acme' && all[0]['status'] === 'active'
  })
  const trusted = await openTls(httpsPort, await pebble.root())
  t.match(await ask(trusted), /404/, 'new clients see the real one')
  trusted.destroy()
  t.match(await ask(old), /404/, 'the connection that was open goes on')
  await waitFor('its file has gone', async () => (await readdir(directory)).length === 1)
  const actions = (await app.must(root, 'GET', '/v1/audit-events')).list
    .filter((each) => each['resource_kind'] === 'certificate')
    .map((each) => each['action'])
  t.same(actions.toReversed(), [
    'makeCertificate',
    'renewCertificate',
    'obtainCertificate',
    'removeCertificate',
  ])
})

test('it is there only where asked for: by a change of the domain, and by the setting for the control domain', async (t) => {
  const { app, api, root, httpsPort, domain, certificates } = await openNode(t, {
    environment: {
      BERTH_ACME_EMAIL: '',
      BERTH_CONTROL_DOMAIN: 'paas.example.com',
      BERTH_CONTROL_SELF_SIGNED: 'true',
    },
  })
  const open = async (name: string): Promise<string> => {
    const { stdout } = await run('sh', [
      '-c',
      `openssl s_client -connect 127.0.0.1:${httpsPort} -servername ${name} </dev/null 2>&1 || true`,
    ])
    return stdout
  }
  const [control] = await waitFor('the control domain has one', async () => {
    const all = await certificates()
    return all.length > 0 ? all : undefined
  })
  t.match(control, { source: 'self_signed', project_id: null, serves: ['paas.example.com'] })
  t.match(await open('paas.example.com'), /CN ?= ?Berth \(self-signed\)/)
  t.match(await open(NAME), /alert/, 'nobody has asked for one for the domain')

  const changed = await app.must(root, 'PATCH', domain, { self_signed: true })
  t.match(changed.body, { self_signed: true, certificate: { source: 'self_signed', obtaining: null } })
  t.match(await open(NAME), /CN ?= ?Berth \(self-signed\)/, 'from the answer on')
  const first = (changed.body['certificate'] as { id: string }).id
  const fingerprint = async () =>
    (await app.must(root, 'GET', `/v1/certificates/${first}`)).body['fingerprint']
  const before = await fingerprint()
  t.equal((await app.send(root, 'POST', `/v1/certificates/${first}/renew`)).status, 202)
  await waitFor('another key', async () => (await fingerprint()) !== before)
  t.match((await app.must(root, 'PATCH', domain, { self_signed: false })).body, { certificate: null })
  t.match(await open(NAME), /alert/)
  t.equal((await certificates()).length, 1)
  const { berth } = await newPerson(t, { BERTH_URL: api, BERTH_TOKEN: root })
  t.match(await berth(['domains', 'set', NAME]), { status: 2 })
  t.match(await berth(['domains', 'set', NAME, '--self-signed']), {
    status: 0,
    stdout: `${NAME}: self_signed active\n`,
  })
  t.match((await berth(['domains', 'ls'])).stdout, /verified +self_signed active/)
  await app.must(root, 'DELETE', domain)
  await waitFor('it goes with the domain', async () => (await certificates()).length === 1)
  const directory = join(app.dataDir, 'ingress', 'certificates')
  await waitFor('and its file', async () => (await readdir(directory)).length === 1)
})

test('it is made anew long before it expires, and its row stays', async (t) => {
  const { database, system, store } = await openStore(t)
  const files = memoryFiles()
  const pairs = createPairKeeper(files, store.listFileIds)
  const names = [{ hostname: '*.example.org', project_id: null, wanted: false, self_signed: true }]
  const audited: string[] = []
  let isServed = true
  const settle = createSelfSignedUpkeep({
    database,
    store,
    system,
    recordAudit: (_, { action }) => void audited.push(action),
    pairs,
    listNames: () => names,
    make: makeSelfSigned,
    publish: async () => {
      const [row] = store.listAll()
      isServed &&= row !== undefined && files.pairs.has(row.file_id ?? '')
    },
  })
  await settle()
  await settle()
  const [first] = store.listAll()
  const days = (instant: string | null | undefined): number =>
    Math.round((Date.parse(instant ?? '') - system.now()) / DAY_MS)
  t.equal(days(first?.not_after), 90)
  t.ok(days(first?.next_attempt_at) >= 55 && days(first?.next_attempt_at) <= 60)
  system.skip(61 * DAY_MS)
  await settle()
  const [second] = store.listAll()
  t.equal(second?.id, first?.id)
  t.not(second?.fingerprint, first?.fingerprint)
  t.equal(days(second?.not_after), 90)
  await pairs.sweep()
  t.same([...files.pairs.keys()], [second?.file_id])
  t.ok(isServed)
  names.length = 0
  await settle().catch(() => {})
  t.same(store.listAll(), [])
  t.same(audited, ['makeCertificate', 'renewCertificate', 'removeCertificate'])
})

test('which certificate answers where a self-signed one is asked for', async (t) => {
  const system = createSystem()
  const now = '2026-06-01T00:00:00.000Z'
  const row = (source: CertificateSource, hostname: string, until: string | null): CertificateRow => ({
    ...emptyRow(system, source, { hostname, project_id: 'p1' }),
    ...(until !== null && { file_id: `${source} ${hostname}`, not_after: until, next_attempt_at: until }),
  })
  const good = '2026-07-01T00:00:00.000Z'
  const past = '2026-05-01T00:00:00.000Z'
  const own = row('self_signed', 'a.example.com', good)
  const table: [what: string, rows: CertificateRow[], chosen: string, plan: string][] = [
    ['nothing', [], '-', 'make'],
    ['an order', [row('acme', 'a.example.com', null)], '-', 'make'],
    ['its own', [own], 'self_signed a.example.com', 'keep'],
    [
      'its own from a day to come',
      [{ ...own, not_before: '2026-06-02T00:00:00.000Z' }],
      'self_signed a.example.com',
      'make',
    ],
    ['its own that is due', [row('self_signed', 'a.example.com', past)], 'self_signed a.example.com', 'make'],
    ['one that was obtained', [own, row('acme', 'a.example.com', good)], 'acme a.example.com', 'remove'],
    ['one that has expired', [own, row('acme', 'a.example.com', past)], 'self_signed a.example.com', 'keep'],
    ['only one that has expired', [row('acme', 'a.example.com', past)], 'acme a.example.com', 'make'],
    ['an uploaded one', [own, row('upload', '*.example.com', good)], 'upload *.example.com', 'remove'],
    ['an expired upload', [own, row('upload', '*.example.com', past)], 'self_signed a.example.com', 'keep'],
    ['a wildcard that was obtained', [own, row('acme', '*.example.com', good)], '-', 'remove'],
    [
      'a wildcard that has expired',
      [own, row('acme', '*.example.com', past)],
      'self_signed a.example.com',
      'keep',
    ],
  ]
  const name = { hostname: 'a.example.com', project_id: 'p1', wanted: true, self_signed: true }
  for (const [what, rows, chosen, expected] of table) {
    t.equal(chooseCertificates([name], rows, now).get(name.hostname)?.file_id ?? '-', chosen, what)
    const { make, remove } = planSelfSigned([name], rows, now)
    t.equal(make.length > 0 ? 'make' : remove.length > 0 ? 'remove' : 'keep', expected, what)
    const unasked = { ...name, self_signed: false }
    t.not(chooseCertificates([unasked], rows, now).get(name.hostname)?.source, 'self_signed')
    t.same(planSelfSigned([unasked], rows, now).make, [])
  }
  t.equal(
    planSelfSigned([{ ...name, project_id: 'p2' }], [own], now).make.length,
    1,
    "another project's key is not taken over",
  )
})

test('what was to wait by a clock that was ahead waits no longer', async (t) => {
  const { system, store } = await openStore(t)
  const now = '2026-01-01T00:00:00.000Z'
  const [day, week, year] = [
    '2026-01-02T00:00:00.000Z',
    '2026-01-08T00:00:00.000Z',
    '2027-01-01T00:00:00.000Z',
  ]
  const add = (hostname: string, fields: Partial<CertificateRow>): void =>
    store.insert({ ...emptyRow(system, 'acme', { hostname, project_id: null }), ...fields })
  const had = { file_id: 'f' }
  add('new', { next_attempt_at: week })
  add('failed-1', { ...had, failures: 1, next_attempt_at: day, next_info_at: day })
  add('failed-2', { ...had, failures: 7, next_attempt_at: week })
  add('asked-1', { ...had, failures: 1, next_attempt_at: week, retry_after: week })
  add('asked-2', { ...had, failures: 1, next_attempt_at: year, retry_after: year })
  add('good', { ...had, next_attempt_at: year, next_info_at: week })
  const names = (rows: CertificateRow[]): string[] => rows.map(({ hostname }) => hostname).toSorted()
  t.same(names(store.listDue(now, 10)), ['asked-2', 'failed-2', 'new'])
  t.same(names(store.listInfoDue(now, 10)), ['good'])
  t.equal(
    soonestAttempt(
      { ...emptyRow(system, 'acme', { hostname: 'a', project_id: null }), retry_after: week },
      now,
    ),
    week,
  )
  t.equal(
    soonestAttempt(
      { ...emptyRow(system, 'acme', { hostname: 'a', project_id: null }), retry_after: year },
      now,
    ),
    now,
  )
})

test('what is due is listed for the projects in turn', async (t) => {
  const { database, system, store } = await openStore(t)
  const insert = database.all.bind(database)
  for (const id of ['p1', 'p2'])
    insert(
      `INSERT INTO projects (id, name, description, revision, created_at, updated_at)
       VALUES ($id, $id, '', 1, '2026', '2026') RETURNING id`,
      { id },
    )
  const add = (hostname: string, project: string, minute: number): void => {
    const at = `2026-01-01T00:0${minute}:00.000Z`
    const row = emptyRow(system, 'acme', { hostname, project_id: project })
    store.insert({ ...row, next_attempt_at: at, next_info_at: at })
  }
  for (const minute of [1, 2, 3]) add(`a${minute}`, 'p1', minute)
  add('b8', 'p2', 8)
  for (const list of [store.listDue, store.listInfoDue])
    t.same(
      list('2026-02-01', 3).map(({ hostname }) => hostname),
      ['a1', 'b8', 'a2'],
    )
})
