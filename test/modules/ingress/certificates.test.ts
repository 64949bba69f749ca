import { once } from 'node:events'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { test } from 'tap'
import type { Test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { TICKETS_FILE } from '../../../src/ingress/contract/control-protocol.ts'
import { openTicketKeys } from '../../../src/ingress/contract/ticket-key.ts'
import { createTicketKeys } from '../../../src/modules/ingress/ticket-keys.ts'
import { makeCertificate } from '../../support/certificate.ts'
import { makeDataDir, startIngress } from './ingress-fixture.ts'
import { eventually, HOST } from './proxy-fixture.ts'

async function handshake(
  t: Test,
  port: number,
  ca: string,
  options: ConnectionOptions = {},
): Promise<{ socket: TLSSocket; session: () => Buffer | undefined }> {
  let session: Buffer | undefined
  const socket = connect({ host: '127.0.0.1', port, servername: HOST, ca, ...options })
  socket.on('session', (ticket: Buffer) => (session = ticket))
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  return { socket, session: () => session }
}

test('certificates reach every worker, lie sealed on disk, and sessions outlive the workers', async (t) => {
  const dataDir = await makeDataDir(t)
  const first = await startIngress(t, dataDir)
  const pair = await makeCertificate(HOST)
  const id = await first.certificates.write(pair)
  t.equal(await first.certificates.write(pair), id, 'the same pair has the same name')
  t.same(await first.certificates.read(id), pair)
  t.equal(await first.publishCertificates([{ hostname: HOST, certificate_id: id }]), 1)

  const port = (await first.status()).https_port
  const { session } = await handshake(t, port, pair.chain_pem)
  await eventually(() => session() !== undefined)
  const ticket = { session: session() as Buffer }
  const resumed = async (): Promise<boolean> =>
    (await handshake(t, port, pair.chain_pem, ticket)).socket.isSessionReused()
  for (let count = 0; count < 8; count += 1) t.ok(await resumed(), 'with whichever worker it is')

  for (const folder of ['ingress', 'ingress/certificates', 'secrets']) {
    for (const entry of await readdir(join(dataDir, folder), { withFileTypes: true })) {
      if (!entry.isFile()) continue
      const path = join(dataDir, folder, entry.name)
      t.equal((await stat(path)).mode & 0o777, 0o600, path)
      t.notMatch(await readFile(path, 'latin1'), /PRIVATE KEY|BEGIN CERTIFICATE/, path)
    }
  }

  await first.stop({ keepWorkers: false })
  const second = await startIngress(t, dataDir, { httpsPort: port })
  t.ok(await resumed(), 'also after all workers were replaced')
  const next = await makeCertificate(HOST)
  await second.publishCertificates([
    { hostname: HOST, certificate_id: await second.certificates.write(next) },
  ])
  await second.certificates.remove(id)
  t.equal((await second.certificates.list()).length, 1)
  t.ok((await handshake(t, port, next.chain_pem)).socket.authorized, 'the new one is shown')
  await t.rejects(second.publishCertificates([{ hostname: 'UPPER', certificate_id: id }]), /not valid/)
})

test('the key for session tickets lives for a day, and one that cannot be opened is replaced', async (t) => {
  const dataDir = await makeDataDir(t)
  const system = createSystem()
  const key = system.randomBytes(32)
  t.ok(await createTicketKeys(dataDir, system).renewIfOld(key), 'there is none yet')
  t.notOk(await createTicketKeys(dataDir, system).renewIfOld(key))
  const read = async (): Promise<Buffer[]> => openTicketKeys(await readFile(join(dataDir, TICKETS_FILE)), key)
  const in_ = (hours: number) => ({ ...system, now: () => system.now() + hours * 3_600_000 })
  const [first] = await read()
  t.ok(await createTicketKeys(dataDir, in_(25)).renewIfOld(key))
  const [second, kept, ...others] = await read()
  t.same([kept, others], [first, []], 'the one before is kept')
  t.notSame(second, first)
  t.ok(await createTicketKeys(dataDir, in_(49)).renewIfOld(key))
  t.equal((await read()).length, 1, 'but not when it is older than two days')
  t.ok(await createTicketKeys(dataDir, in_(-24)).renewIfOld(key), 'it is of another day')
  t.equal((await read()).length, 2)
  t.ok(await createTicketKeys(dataDir, system).renewIfOld(system.randomBytes(32)), 'it is for another key')
})
