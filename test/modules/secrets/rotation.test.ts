import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { decryptSops } from 'sops-age'
import { type Test, test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { createSecrets } from '../../../src/modules/secrets/secrets.ts'
import { openApp } from '../../support/app.ts'
import { OPERATOR } from '../../support/delivery.ts'
import { openRotationWorld, type RotationWorld } from './rotation-world.ts'

const never = new AbortController().signal

function makeDataDir(t: Test): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-rotation-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return dataDir
}

/** Time in which nothing waits. */
function hurried() {
  const system = createSystem()
  return { ...system, monotonic: () => performance.now() * 1000, sleep: async () => system.sleep(0) }
}

async function fill(world: RotationWorld, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1)
    await world.addProject(`p${String(index).padStart(3, '0')}`, { SECRET: `value ${index}`, EMPTY: '' })
}

async function opensAll(t: Test, world: RotationWorld, count: number): Promise<void> {
  const documents = world.documents()
  t.equal(documents.length, count)
  for (const [index, { document }] of documents.entries())
    t.same(await world.secrets.open(document), { SECRET: `value ${index}`, EMPTY: '' })
}

const retiredFiles = (dataDir: string): string[] => {
  try {
    return readdirSync(join(dataDir, 'secrets', 'retired'))
  } catch {
    return []
  }
}

test('a rotation seals everything anew under a new key and forgets the old one', async (t) => {
  const dataDir = makeDataDir(t)
  const world = await openRotationWorld(dataDir, { system: hurried() })
  await fill(world, 40)
  const old = world.secrets.recipient()
  const before = world.documents()
  const begun = world.rotations.rotateNodeKey(OPERATOR)
  t.match(begun, { status: 'running', from_recipient: old, to_recipient: null })
  t.throws(() => world.rotations.rotateNodeKey(OPERATOR), { code: 'CONFLICT' })
  await world.run(never)

  const now = world.secrets.recipient()
  t.not(now, old)
  t.match(world.rotations.getRotation(begun.id), {
    status: 'finished',
    from_recipient: old,
    to_recipient: now,
    resealed: 40,
    unreadable: 0,
  })
  await opensAll(t, world, 40)
  for (const [index, { document }] of world.documents().entries()) {
    t.same(world.secrets.recipientsOf(document), [now])
    t.not(document, before[index]?.document)
  }
  t.same(retiredFiles(dataDir), [])
  t.same(
    world.audited.map(({ action }) => action),
    ['rotateNodeKey', 'finishKeyRotation'],
  )
  // What was there before cannot be opened with what is there now.
  await t.rejects(world.secrets.open(before[0]?.document ?? ''), /sealed for/)
  const again = await createSecrets({ dataDir, system: createSystem() })
  t.equal(again.recipient(), now)
  t.match(world.rotations.listRotations({ limit: 1 }), { items: [{ id: begun.id }] })
})

test('recovery keys of the configuration are added to what is sealed, and open it with sops-age and age', async (t) => {
  const dataDir = makeDataDir(t)
  const world = await openRotationWorld(dataDir)
  await fill(world, 3)
  const keygen = spawnSync('age-keygen', [], { encoding: 'utf8' })
  t.equal(keygen.status, 0)
  const identity = /AGE-SECRET-KEY-1\S+/.exec(keygen.stdout)?.[0] ?? ''
  const recipient = /public key: (age1\S+)/.exec(keygen.stdout)?.[1] ?? ''

  const later = await openRotationWorld(dataDir, { recoveryRecipients: [recipient] })
  await later.run(never)
  t.same(later.secrets.recipients(), [world.secrets.recipient(), recipient])
  for (const { document } of later.documents()) {
    t.same(later.secrets.recipientsOf(document), later.secrets.recipients())
    const opened = await decryptSops(document, { secretKey: identity, fileType: 'json' })
    t.match(opened, { values: { EMPTY: '' } })
    const { sops } = JSON.parse(document) as { sops: { age: { recipient: string; enc: string }[] } }
    const wrapped = sops.age.find((each) => each.recipient === recipient)?.enc ?? ''
    const file = join(dataDir, 'identity')
    writeFileSync(file, `${identity}\n`)
    const age = spawnSync('age', ['-d', '-i', file], { input: wrapped })
    t.equal(age.stdout.length, 32, 'Debian’s age opens the data key')
  }
  await opensAll(t, later, 3)

  const without = await openRotationWorld(dataDir)
  await without.run(never)
  for (const { document } of without.documents()) t.notMatch(document, recipient)
})

test('a recovery key that is mistyped keeps the daemon from starting', async (t) => {
  const dataDir = makeDataDir(t)
  const system = createSystem()
  const { recipient } = await createSecrets({ dataDir, system })
  const typo = recipient().replace(/.$/, (last) => (last === 'q' ? 'p' : 'q'))
  await t.rejects(createSecrets({ dataDir, system, recoveryRecipients: [typo] }), /recovery_recipients/)
})

test('a document that cannot be opened is told of, left alone, and keeps the old key', async (t) => {
  const dataDir = makeDataDir(t)
  const world = await openRotationWorld(dataDir, { system: hurried() })
  await fill(world, 3)
  const old = world.secrets.recipient()
  const broken = (world.documents()[1]?.document ?? '').replace('"lastmodified":"2', '"lastmodified":"1')
  world.database.run("UPDATE projects SET shared_env_sealed = $broken WHERE name = 'p001'", { broken })
  const { id } = world.rotations.rotateNodeKey(OPERATOR)
  await world.run(never)
  t.match(world.rotations.getRotation(id), { status: 'finished', resealed: 2, unreadable: 1 })
  t.match(world.unreadable[0], /^projects\.shared_env_sealed, row \d+$/)
  t.equal(world.documents()[1]?.document, broken)
  t.same(retiredFiles(dataDir), [`${old}.agekey`])
  // Once it is mended, the next look seals it anew and lets the old key go.
  const mended = broken.replace('"lastmodified":"1', '"lastmodified":"2')
  world.database.run("UPDATE projects SET shared_env_sealed = $mended WHERE name = 'p001'", { mended })
  await world.run(never)
  t.same(retiredFiles(dataDir), [])
  await opensAll(t, world, 3)
})

test('what is being sealed while the key is replaced is sealed for the new one', async (t) => {
  const replaced = Promise.withResolvers<void>()
  // What seals waits for its next turn until then.
  const system = { ...createSystem(), sleep: async () => replaced.promise }
  const world = await openRotationWorld(makeDataDir(t), { system })
  const env = Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`N${index}`, 'x'.repeat(1000)]))
  const sealing = world.secrets.seal(env)
  await world.secrets.replaceKey()
  replaced.resolve()
  t.same(world.secrets.recipientsOf(await sealing), [world.secrets.recipient()])
})

test('every column that is named for it is found', async (t) => {
  const world = await openRotationWorld(makeDataDir(t))
  const columns = new Set(world.store.listColumns().map(({ table, column }) => `${table}.${column}`))
  for (const known of ['projects.shared_env_sealed', 'services.env_sealed', 'deployment_env.env_sealed'])
    t.ok(columns.has(known), known)
  world.database.exec(
    'CREATE TABLE odd (a TEXT PRIMARY KEY, key_sealed TEXT, blob_sealed BLOB) STRICT, WITHOUT ROWID',
  )
  t.throws(() => world.store.listColumns(), /odd\.key_sealed .* needs a rowid/)
})

test('a rotation goes on wherever the daemon is killed', async (t) => {
  const dataDir = makeDataDir(t)
  const count = 5
  const world = await openRotationWorld(dataDir)
  await fill(world, count)
  const { id } = world.rotations.rotateNodeKey(OPERATOR)
  const script = new URL('rotation-process.ts', import.meta.url).pathname
  let deaths = 0
  // Each process is killed one line later than the one before, so that the signal finds it everywhere.
  for (let line = 1; ; line += 1) {
    const child = spawn(process.execPath, [script, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = once(child, 'exit')
    let seen = 0
    for await (const said of createInterface(child.stdout)) {
      seen += 1
      if (said === 'done' || seen < line) continue
      child.kill('SIGKILL')
    }
    const [code] = (await exited) as [number | null]
    const secrets = await createSecrets({ dataDir, system: createSystem() })
    for (const [index, { document }] of world.documents().entries())
      t.match(await secrets.open(document), { SECRET: `value ${index}` })
    if (code === 0) break
    t.equal(code, null, 'it was killed')
    deaths += 1
  }
  t.ok(deaths >= 4, `${deaths} deaths`)
  t.match(world.rotations.getRotation(id), { status: 'finished', unreadable: 0 })
  t.same(retiredFiles(dataDir), [])
})

test('the public key is for everyone who is signed in, a rotation for super-admins', async (t) => {
  const app = await openApp()
  t.teardown(() => app.close())
  const root = await app.bootstrap()
  await app.must(root, 'POST', '/v1/users', { username: 'bird', password: 'a long enough password' })
  const bird = await app.login('bird')
  const file = readFileSync(join(app.dataDir, 'secrets', 'node.agekey'), 'utf8')
  const { body } = await app.must(bird, 'GET', '/v1/secrets/recipient')
  t.match(file, String(body['recipient']))
  t.same(body['recovery_recipients'], [])
  t.equal((await app.send(bird, 'POST', '/v1/secrets/rotations')).status, 403)
  const begun = await app.must(root, 'POST', '/v1/secrets/rotations')
  t.match(begun, { status: 202, body: { status: 'running', created_by: 'root' } })
  t.match(await app.send(root, 'POST', '/v1/secrets/rotations'), { status: 409, body: { error: 'CONFLICT' } })
  const one = await app.must(root, 'GET', `/v1/secrets/rotations/${String(begun.body['id'])}`)
  t.ok(one.headers['etag'])
  t.equal((await app.must(root, 'GET', '/v1/secrets/rotations')).list.length, 1)
  t.notMatch(app.log(), /AGE-SECRET/)
})
