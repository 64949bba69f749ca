import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'tap'
import { sendAcme } from '../../../src/modules/certificates/acme-http.ts'
import { createCertificateOperations } from '../../../src/modules/certificates/certificate-operations.ts'
import { readChain, renewalId } from '../../../src/modules/certificates/certificate-pair.ts'
import { emptyRow } from '../../../src/modules/certificates/certificate-row.ts'
import { contextOfBerth } from '../../../src/modules/identity/context.ts'
import { waitFor } from '../../support/wait.ts'
import { gate } from '../ingress/proxy-fixture.ts'
import { NAME, openCertificates } from './certificate-fixture.ts'

test('a certificate is obtained from a real authority, kept and published', async (t) => {
  const all = await openCertificates(t)
  await all.run()
  const row = all.row()
  t.match(row, {
    hostname: NAME,
    source: 'acme',
    failures: 0,
    last_error: null,
    step: null,
    order_url: null,
    order_key_sealed: null,
    challenge: null,
  })
  const pair = all.files.pairs.get(row.file_id ?? '')
  const chain = readChain(pair?.chain_pem ?? '')
  t.equal(chain.length, 2, 'with what leads to the root')
  const root = new X509Certificate(await all.pebble.root())
  t.ok(chain.at(-1)?.checkIssued(root) === true)
  t.same(all.published(), [{ hostname: NAME, certificate_id: row.file_id, self_signed: false }])
  t.same(all.audited, ['obtainCertificate'])
  t.ok(Date.parse(row.next_attempt_at ?? '') > all.system.now(), 'its renewal is planned')
  const account = all.store.findAccount(all.pebble.directoryUrl)
  t.match(account?.account_url, /^https:/)
  t.notMatch(account?.key_sealed, /PRIVATE KEY/)
  const dump = JSON.stringify(all.database.all('SELECT * FROM certificates'))
  t.notMatch(dump, /PRIVATE KEY/)
})

test('it is renewed at its time, and the old one goes when the new one is served', async (t) => {
  const all = await openCertificates(t, { pebble: { validSeconds: 300 } })
  await all.run()
  const first = all.row()
  const renewal = (Date.parse(first.next_attempt_at ?? '') - Date.parse(first.not_before ?? '')) / 1000
  t.ok(renewal >= 184 && renewal <= 201, `at two thirds of 300 seconds, or a little earlier: ${renewal}`)
  await all.run()
  t.equal(all.row().file_id, first.file_id, 'not before its time')
  all.system.skip(202_000)
  await all.run()
  const second = all.row()
  t.not(second.file_id, first.file_id)
  t.same(all.published(), [{ hostname: NAME, certificate_id: second.file_id, self_signed: false }])
  t.same([...all.files.pairs.keys()], [second.file_id])
  t.same(all.audited, ['obtainCertificate', 'renewCertificate'])
})

test('a name that the authority cannot reach is refused with its words, tried again later, and works then', async (t) => {
  const all = await openCertificates(t)
  all.dns.zones.delete(NAME)
  await all.run()
  const failed = all.row()
  t.match(failed, { failures: 1, file_id: null, order_url: null, challenge: null, step: null })
  t.match(failed.last_error, /refused the order: .*shop\.example\.com/)
  const pause = Date.parse(failed.next_attempt_at ?? '') - all.system.now()
  t.ok(pause > 30_000 && pause <= 66_000, `about a minute: ${pause}`)
  await all.run()
  t.equal(all.row().failures, 1, 'not before that')
  all.dns.zones.set(NAME, { a: ['127.0.0.1'] })
  all.system.skip(70_000)
  await all.run()
  t.match(all.row(), { failures: 0, last_error: null })
  t.ok(all.row().file_id)
})

test('an authority that is away is said to be, and costs an order nothing', async (t) => {
  const all = await openCertificates(t)
  await all.pebble.stop()
  await all.run()
  t.match(all.row(), { failures: 1, last_error: /localhost:\d+ cannot be reached \(ECONNREFUSED\)/ })
  await all.pebble.start()
  all.system.skip(70_000)
  await all.run()
  t.ok(all.row().file_id)
})

test('one that switches protocols instead of answering is away, too', async (t) => {
  const server = createServer((socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'))
  })
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  await t.rejects(sendAcme({ url, method: 'GET', body: undefined, headers: {} }, undefined, Date.now), {
    type: 'unreachable',
    message: /switches protocols/,
  })
})

test('an authority that went away with our account gets another one', async (t) => {
  const all = await openCertificates(t)
  await all.run()
  await all.pebble.stop()
  await all.pebble.start()
  all.store.change(all.row().id, { next_attempt_at: all.system.nowIso() })
  await all.reopen().worker.run(all.signal)
  t.match(all.row(), { failures: 1, last_error: /accountDoesNotExist/ })
  all.system.skip(70_000)
  await all.reopen().worker.run(all.signal)
  t.match(all.row(), { failures: 0 })
})

test('nonces that are refused are sent anew', async (t) => {
  const all = await openCertificates(t, { pebble: { nonceRejectPercent: 20 } })
  for (let round = 0; round < 5 && (all.store.listAll()[0]?.file_id ?? null) === null; round += 1) {
    await all.run()
    all.system.skip(3_600_000)
  }
  t.ok(all.row().file_id, all.row().last_error ?? '')
})

test('an authority that wants an account of its own is given the binding', async (t) => {
  const external = {
    kid: 'kid-1',
    hmacKey: 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W',
  }
  const all = await openCertificates(t, { external })
  await all.run()
  t.ok(all.row().file_id, all.row().last_error ?? '')
  const without = await openCertificates(t, { external })
  await without.reopen({ kid: 'kid-1', hmacKey: 'AAAA' }).worker.run(without.signal)
  t.match(without.row(), { failures: 1, file_id: null })
})

test('the binding is shown to the authority that it is for, and not to its staging servers', async (t) => {
  const all = await openCertificates(t, { renewalInfo: true, stagingFirst: true })
  const worker = all.reopen({ kid: 'kid-1', hmacKey: 'AAAA' })
  await worker.accounts.open('staging').catch(() => {})
  await worker.accounts.open('production').catch(() => {})
  t.same(all.front?.bound, [false, true])
})

test('a limit of the account holds every name, one of a name only that', async (t) => {
  const all = await openCertificates(t, { renewalInfo: true })
  const { front } = all
  if (!front) throw new Error('no front')
  front.retryAfter = '7200'
  const add = (hostname: string): void =>
    void all.names.push({ hostname, project_id: null, wanted: true, self_signed: false })
  const rowOf = (hostname: string) => all.store.listAll().find((row) => row.hostname === hostname)
  front.limit = 'too many certificates (5) already issued for this exact set of identifiers'
  await all.run()
  front.limit = 'too many new orders (300) from this account in the last 3h0m0s'
  add('two.example.com')
  all.dns.zones.set('two.example.com', { a: ['127.0.0.1'] })
  await all.run()
  t.equal(front.replaced.length, 2, 'the other name was asked for')
  const until = rowOf('two.example.com')?.retry_after ?? ''
  const hours = (Date.parse(until) - all.system.now()) / 3_600_000
  t.ok(hours > 1.9 && hours <= 2, `${hours} hours`)
  t.match(rowOf(NAME), {
    next_attempt_at: until,
    retry_after: until,
    failures: 1,
    last_error: /this account/,
  })
  front.limit = undefined
  add('three.example.com')
  await all.run()
  t.equal(front.replaced.length, 2, 'nobody asks')
  t.match(rowOf('three.example.com'), { next_attempt_at: until, failures: 0 })
  all.system.skip(7_300_000)
  await all.run()
  t.equal(front.replaced.length, 5)
  t.ok(rowOf('two.example.com')?.file_id)
})

test('staging comes first where that is asked for, and what it issued is not kept', async (t) => {
  const all = await openCertificates(t, { stagingFirst: true })
  await all.run()
  t.match(all.row(), { stage: 'production', file_id: null, failures: 0 })
  t.same(all.published(), [])
  await all.run()
  t.ok(all.row().file_id)
  t.same([...new Set(all.stages)], ['staging', 'production'])
})

test('a wildcard is proven by a record that the hook makes and removes, and that DNS shows in its own time', async (t) => {
  const calls: string[] = []
  const hook = { isHeld: gate(), fails: true }
  const all = await openCertificates(t, {
    hook: (dns) => ({
      run: async (action, { name, value }) => {
        calls.push(`${action} ${name}`)
        if (action === 'cleanup') return void dns.zones.delete(name)
        if (hook.fails) throw new Error('the zone is locked')
        await hook.isHeld.opened
        setTimeout(() => dns.zones.set(name, { txt: [value] }), 500)
      },
    }),
  })
  const wild = { hostname: '*.example.com', project_id: null, wanted: true, self_signed: false }
  const [plain] = all.names.splice(0, 1, wild)
  await all.run()
  t.match(all.row(), { failures: 1, last_error: 'the zone is locked' })
  const both = ['present _acme-challenge.example.com', 'cleanup _acme-challenge.example.com']
  t.same(calls, both, 'what a failed call has half done is cleared away')
  hook.fails = false
  all.system.skip(70_000)
  if (plain) all.names.push(plain)
  const running = all.run()
  await waitFor(
    'another name is served while the hook is at work',
    () => all.published().some(({ hostname }) => hostname === NAME),
    20_000,
  )
  hook.isHeld.open()
  await running
  t.same(
    all
      .published()
      .map(({ hostname }) => hostname)
      .toSorted(),
    ['*.example.com', NAME],
  )
  t.same(calls, [...both, ...both])
})

test('a certificate that cannot be opened any more counts as none, and another one takes its place', async (t) => {
  const all = await openCertificates(t)
  await all.run()
  const lost = all.row().file_id ?? ''
  const { read } = all.files
  all.files.read = async (id) => {
    if (id === lost) throw new Error('unable to authenticate data')
    return read(id)
  }
  const uploaded = { hostname: 'own.example.com', project_id: null }
  all.store.insert({
    ...emptyRow(all.system, 'upload', uploaded),
    file_id: 'f'.repeat(64),
    not_after: all.row().not_after,
  })
  await all.pebble.stop()
  await all.reopen().worker.run(all.signal)
  const [row, upload] = all.store.listAll()
  t.match(row, {
    hostname: NAME,
    file_id: null,
    not_after: null,
    failures: 1,
    last_error: /cannot be reached/,
  })
  t.match(upload, { file_id: null, failures: 1, last_error: /its file is gone.*Upload it again/ })
  t.same(all.published(), [], 'nobody is sent to TLS by it')
  await all.pebble.start()
  all.system.skip(70_000)
  await all.reopen().worker.run(all.signal)
  if ((all.store.listAll()[0]?.file_id ?? null) === null) {
    all.system.skip(6 * 60_000)
    await all.reopen().worker.run(all.signal)
  }
  const healed = all.store.listAll()[0]
  t.ok(healed?.file_id, healed?.last_error ?? '')
  t.same([...all.files.pairs.keys()], [healed?.file_id])
  t.same(all.audited, ['obtainCertificate', 'loseCertificate', 'loseCertificate', 'obtainCertificate'])
})

test('a name that is not served any more loses certificate, file and row', async (t) => {
  const all = await openCertificates(t)
  await all.run()
  all.names.length = 0
  await all.run()
  t.same(all.store.listAll(), [])
  t.same([...all.files.pairs.keys()], [])
  t.same(all.published(), [])
})

test('an order goes on after a death at every record of it, without a second order', async (t) => {
  // How many records an order makes.
  let records = 0
  const counted = await openCertificates(t)
  counted.onRecord(() => void (records += 1))
  await counted.run()
  t.ok(records >= 5, `${records} records`)
  const all = await openCertificates(t)
  const orders = new Set<string>()
  for (let fatal = 1; fatal <= records; fatal += 1) {
    let count = 0
    const dead = new AbortController()
    all.onRecord((change) => {
      count += 1
      const { order_url: url } = change as { order_url?: string | null }
      if (count === fatal) {
        dead.abort(new Error('killed'))
        throw new Error('killed')
      }
      if (typeof url === 'string') orders.add(url)
    })
    await all
      .reopen()
      .worker.run(dead.signal)
      .catch(() => {})
    if (all.row().file_id !== null) break
  }
  all.onRecord(undefined)
  await all.reopen().worker.run(all.signal)
  t.match(all.row(), { failures: 0, last_error: null })
  t.ok(all.row().file_id)
  t.equal(orders.size, 1, 'one order in all')
})

test('the name for renewal information is that of RFC 9773', async (t) => {
  const all = await openCertificates(t)
  await all.run()
  const [leaf] = readChain([...all.files.pairs.values()][0]?.chain_pem ?? '')
  if (!leaf) throw new Error('no certificate')
  const id = renewalId(leaf)
  t.match(id, /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/)
  const serial = Buffer.from(id?.split('.')[1] ?? '', 'base64url').toString('hex')
  t.equal(serial.replace(/^00/, ''), leaf.serialNumber.toLowerCase().replace(/^00/, ''))
})

test('the authority says when a certificate is renewed, and is told which one the next replaces', async (t) => {
  const all = await openCertificates(t, { renewalInfo: true })
  const { front } = all
  if (!front) throw new Error('no renewal information')
  const inHours = (hours: number): string => new Date(all.system.now() + hours * 3_600_000).toISOString()
  const nameOf = (): string | undefined => {
    const [leaf] = readChain(all.files.pairs.get(all.row().file_id ?? '')?.chain_pem ?? '')
    return leaf && renewalId(leaf)
  }
  /** What was obtained in one run is asked about in the next. */
  const runTwice = async (): Promise<void> => {
    await all.run()
    await all.run()
  }
  front.window = { start: inHours(48), end: inHours(72) }
  await runTwice()
  const [first, name] = [all.row(), nameOf()]
  t.same(front.asked, [name], 'it is asked by the name of RFC 9773, section 4.1')
  t.same(front.replaced, [undefined], 'the first one replaces nothing')
  const at = Date.parse(first.next_attempt_at ?? '')
  t.ok(at >= Date.parse(front.window.start) && at <= Date.parse(front.window.end), 'in the window')
  const again = Date.parse(first.next_info_at ?? '') - all.system.now()
  t.ok(again > 5.9 * 3_600_000 && again <= 6 * 3_600_000, 'it is asked again when it said')
  await all.run()
  t.equal(front.asked.length, 1, 'and not before')

  // Without an answer, and with one without sense, what was planned stays.
  for (const window of [undefined, { start: inHours(9), end: inHours(1) }, { start: 'soon', end: 'later' }]) {
    front.window = window
    all.system.skip(6.1 * 3_600_000)
    await all.run()
    t.equal(all.row().next_attempt_at, first.next_attempt_at)
  }
  t.equal(front.asked.length, 4)

  // The authority is about to revoke it.
  front.window = { start: inHours(-2), end: inHours(-1) }
  all.system.skip(6.1 * 3_600_000)
  await all.run()
  t.ok(Date.parse(all.row().next_attempt_at ?? '') <= all.system.now(), 'at once')
  front.window = { start: inHours(48), end: inHours(72) }
  await runTwice()
  t.not(all.row().file_id, first.file_id)
  t.same(front.replaced, [undefined, name], 'the order says which one it replaces')

  // An authority that will not have it so gets an order that replaces nothing.
  for (const refusal of ['alreadyReplaced', 'malformed']) {
    front.refusal = refusal
    const before = all.row().file_id
    all.system.skip(73 * 3_600_000)
    await runTwice()
    t.match(all.row(), { failures: 0, last_error: null }, refusal)
    t.not(all.row().file_id, before)
    t.equal(front.replaced.at(-1), undefined)
  }
  front.refusal = 'rateLimited'
  all.system.skip(73 * 3_600_000)
  const orders = front.replaced.length
  await all.run()
  t.match(all.row(), { failures: 1, last_error: /no/ })
  t.equal(front.replaced.length, orders + 1, 'one that is too busy is not asked twice')
  const pause = Date.parse(all.row().next_attempt_at ?? '') - all.system.now()
  t.ok(pause > 5.9 * 3_600_000 && pause <= 6 * 3_600_000, 'but when it said, long as that is')
  const retryAt = Date.parse(all.row().retry_after ?? '')
  t.equal(all.row().retry_after, all.row().next_attempt_at)
  const operations = createCertificateOperations({
    ...all,
    recordAudit: () => {},
    projectExists: () => true,
    listNames: () => all.names,
    claimedNames: () => [],
    openServer: () => all.accounts.open('production'),
    enabled: true,
    publish: async () => {},
    certificatesChanged: () => {},
  })
  const { actor } = contextOfBerth('request')
  const renew = () =>
    operations.renewCertificate(
      { actor: { ...actor, is_super_admin: true }, request_id: null, client_address: null },
      all.row().id,
    )
  t.throws(renew, { code: 'CONFLICT', message: new RegExp(`before ${all.row().retry_after}`) })
  front.window = { start: inHours(-2), end: inHours(-1) }
  all.store.change(all.row().id, { next_info_at: all.system.nowIso() })
  await all.run()
  t.equal(Date.parse(all.row().next_attempt_at ?? ''), retryAt, 'nor by renewal information')
  all.system.skip(6 * 3_600_000)
  t.equal(renew().next_attempt_at, all.row().next_attempt_at)
})

test('a window behind the end of a certificate does not let it expire', async (t) => {
  const all = await openCertificates(t, { renewalInfo: true })
  if (!all.front) throw new Error('no renewal information')
  const farAway = new Date(all.system.now() + 400 * 86_400_000).toISOString()
  all.front.window = { start: farAway, end: farAway }
  await all.run()
  await all.run()
  t.equal(all.front.asked.length, 1)
  const { next_attempt_at, not_after } = all.row()
  t.ok(Date.parse(next_attempt_at ?? '') < Date.parse(not_after ?? '') - 4 * 86_400_000)
})
