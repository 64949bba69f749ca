import * as fc from 'fast-check'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decryptSops } from 'sops-age'
import { type Test, test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { SealBroken } from '../../../src/modules/secrets/sealed-value.ts'
import { createSecrets } from '../../../src/modules/secrets/secrets.ts'
import { createApp } from '../../../src/app.ts'
import { loadConfig } from '../../../src/config.ts'
import { createFakeRuntime } from '../../../src/runtime/fake-runtime.ts'
import { openDatabase } from '../../../src/store/database.ts'
import { pino } from 'pino'
import { openRotationWorld } from './rotation-world.ts'

const system = createSystem()

function makeDataDir(t: Test): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-secrets-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return dataDir
}

const keyFileOf = (dataDir: string): string => join(dataDir, 'secrets', 'node.agekey')

interface Document {
  values: Record<string, string>
  names_sha256: string
  sops: { age: { recipient: string; enc: string }[]; lastmodified: string; mac: string }
  [key: string]: unknown
}

test('any names and values come back as they were', async (t) => {
  const secrets = await createSecrets({ dataDir: makeDataDir(t), system })
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(text, text), { maxLength: 12 }), async (pairs) => {
      const values = Object.fromEntries(pairs)
      const document = await secrets.seal(values)
      t.same(Object.entries(await secrets.open(document)), Object.entries(values))
      t.same(secrets.names(document), Object.keys(values))
    }),
    { numRuns: 40 },
  )
})

test('names and values that tempt a parser come back as they were', async (t) => {
  const secrets = await createSecrets({ dataDir: makeDataDir(t), system })
  const values = Object.fromEntries([
    ['sops', 'a name of the envelope'],
    ['values', 'another'],
    ['10', 'ten'],
    ['9', 'nine'],
    ['__proto__', 'own'],
    ['A_unencrypted', 'sealed all the same'],
    ['EMPTY', ''],
    ['BOM', '\ufeffx'],
    ['LINES', 'a\nb\r\nc\n'],
    ['NUMBER', '007'],
    ['ENC', 'ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]'],
    ['LONG', '\u{1f511}'.repeat(16 * 1024)],
    ...Array.from({ length: 300 }, (_, index): [string, string] => [`N${index}`, `value ${index}`]),
  ])
  t.same(Object.entries(await secrets.open(await secrets.seal(values))), Object.entries(values))
  t.same(await secrets.open(await secrets.seal({})), {})
})

test('text that is not well-formed is refused instead of being changed', async (t) => {
  const secrets = await createSecrets({ dataDir: makeDataDir(t), system })
  await t.rejects(secrets.seal({ A: '\ud800' }), TypeError)
  await t.rejects(secrets.seal({ '\udfff': 'a' }), TypeError)
})

test('a sealed document shows names and no values, and no two seals are alike', async (t) => {
  const secrets = await createSecrets({ dataDir: makeDataDir(t), system })
  const values = { PASSWORD: 'canary-6d1f', TOKEN: 'canary-6d1f' }
  const [one, other] = [await secrets.seal(values), await secrets.seal(values)]
  t.match(one, 'PASSWORD')
  t.notMatch(one, 'canary-6d1f')
  t.notMatch(one, Buffer.from('canary-6d1f').toString('base64').slice(0, 12))
  t.not(one, other)
  const { values: sealed } = JSON.parse(one) as Document
  t.not(sealed['PASSWORD'], sealed['TOKEN'])
})

test('sops-age opens what was sealed, with the key in the file', async (t) => {
  const dataDir = makeDataDir(t)
  const secrets = await createSecrets({ dataDir, system })
  const values = { A: 'x', sops: 'trap', EMPTY: '', UNICODE: 'é\u{1f511}\n' }
  const identity = readFileSync(keyFileOf(dataDir), 'utf8').split('\n')[2] ?? ''
  const opened = (await decryptSops(await secrets.seal(values), {
    secretKey: identity,
    fileType: 'json',
  })) as Document
  t.same(opened.values, values)
})

const other = (text: string): string =>
  text.replace(/data:(.)/, (_, first: string) => `data:${first === 'A' ? 'B' : 'A'}`)

/** What someone who can write the database may try. */
const TAMPERINGS: [title: string, tamper: (document: Document) => unknown][] = [
  ['a dropped value', (d) => delete d.values['A']],
  ['a dropped empty value', (d) => delete d.values['EMPTY']],
  [
    'two swapped values',
    (d) => ([d.values['A'], d.values['B']] = [d.values['B'] ?? '', d.values['A'] ?? '']),
  ],
  ['a renamed value', (d) => (d.values = { X: d.values['A'] ?? '', B: d.values['B'] ?? '', EMPTY: '' })],
  ['a value copied to a new name', (d) => (d.values['X'] = d.values['A'] ?? '')],
  ['a new empty value', (d) => (d.values['X'] = '')],
  ['a new value in the clear', (d) => (d.values['X'] = 'plain')],
  ['a value replaced by plain text', (d) => (d.values['A'] = 'plain')],
  ['a value replaced by nothing', (d) => (d.values['A'] = '')],
  ['a value replaced by a number', (d) => ((d.values as Record<string, unknown>)['A'] = 1)],
  ['another order', (d) => (d.values = { B: d.values['B'] ?? '', A: d.values['A'] ?? '', EMPTY: '' })],
  ['changed bytes', (d) => (d.values['A'] = other(d.values['A'] ?? ''))],
  ['a shortened tag', (d) => (d.values['A'] = (d.values['A'] ?? '').replace(/tag:[^,]+/, 'tag:AAAAAA=='))],
  ['a changed digest of names', (d) => (d.names_sha256 = other(d.names_sha256))],
  ['an emptied digest of names', (d) => (d.names_sha256 = '')],
  ['a changed MAC', (d) => (d.sops.mac = other(d.sops.mac))],
  ['an emptied MAC', (d) => (d.sops.mac = '')],
  ['another time', (d) => (d.sops.lastmodified = '2020-01-01T00:00:00Z')],
  ['a further branch', (d) => (d['more'] = { A: 'x' })],
  ['no recipients', (d) => (d.sops.age = [])],
  [
    'a broken data key',
    (d) => (d.sops.age = d.sops.age.map((each) => ({ ...each, enc: each.enc.slice(0, -60) }))),
  ],
]

for (const [title, tamper] of TAMPERINGS) {
  test(`a document with ${title} is refused`, async (t) => {
    const secrets = await createSecrets({ dataDir: makeDataDir(t), system })
    const document = JSON.parse(await secrets.seal({ A: 'canary-a', B: 'canary-b', EMPTY: '' })) as Document
    tamper(document)
    const error: unknown = await secrets.open(JSON.stringify(document)).catch((thrown: unknown) => thrown)
    t.type(error, SealBroken)
    t.notMatch(String(error), /canary|AGE-SECRET/)
  })
}

test('what is no document at all is refused', async (t) => {
  const secrets = await createSecrets({ dataDir: makeDataDir(t), system })
  for (const text of [
    '',
    'x',
    'null',
    '[]',
    '{}',
    '{"values":{},"names_sha256":"","sops":{"age":[null],"lastmodified":""}}',
  ]) {
    await t.rejects(secrets.open(text), SealBroken, text)
    t.throws(() => secrets.names(text), SealBroken, text)
  }
})

test('the values that open gives out cannot be changed by one of its callers', async (t) => {
  const secrets = await createSecrets({ dataDir: makeDataDir(t), system })
  const document = await secrets.seal({ A: 'x' })
  const values = (await secrets.open(document)) as Record<string, string>
  t.throws(() => (values['A'] = 'y'), TypeError)
  t.same(await secrets.open(document), { A: 'x' })
})

test('the key is made once, for its owner only, and opens after a restart', async (t) => {
  const dataDir = makeDataDir(t)
  const first = await createSecrets({ dataDir, system })
  const document = await first.seal({ A: 'x' })
  t.equal(statSync(keyFileOf(dataDir)).mode & 0o777, 0o600)
  t.equal(statSync(join(dataDir, 'secrets')).mode & 0o777, 0o700)
  const second = await createSecrets({ dataDir, system })
  t.equal(second.recipient(), first.recipient())
  t.match(first.recipient(), /^age1[0-9a-z]{58}$/)
  t.same(await second.open(document), { A: 'x' })
})

test('another node cannot open a document, and the error names both public keys', async (t) => {
  const one = await createSecrets({ dataDir: makeDataDir(t), system })
  const two = await createSecrets({ dataDir: makeDataDir(t), system })
  const error = await two.open(await one.seal({ A: 'x' })).catch((thrown: unknown) => String(thrown))
  t.match(error, one.recipient())
  t.match(error, two.recipient())
})

test('a missing key is made again only where nothing is sealed', async (t) => {
  const dataDir = makeDataDir(t)
  const world = await openRotationWorld(dataDir)
  const file = keyFileOf(dataDir)
  const begin = (): Promise<unknown> => createSecrets({ dataDir, system, findSealed: world.store.findSealed })
  rmSync(file)
  await begin()
  const key = readFileSync(file, 'utf8')
  await world.addProject('shop', { A: 'x' })
  rmSync(file)
  for (const again of [1, 2])
    await t.rejects(
      begin(),
      /node\.agekey is missing, and projects\.shared_env_sealed .* from a backup/,
      `${again}`,
    )
  t.throws(() => statSync(file), { code: 'ENOENT' }, 'none was made')
  world.database.run('DELETE FROM projects', {})
  mkdirSync(join(dataDir, 'secrets', 'retired'))
  writeFileSync(join(dataDir, 'secrets', 'retired', 'age1old.agekey'), key, { mode: 0o600 })
  await t.rejects(begin(), /node\.agekey is missing, and .*retired shows/)
  writeFileSync(file, key, { mode: 0o600 })
  await begin()
})

test('a daemon does not start without the key of what it has sealed', async (t) => {
  const dataDir = makeDataDir(t)
  const config = loadConfig({ BERTH_DATA_DIR: dataDir, BERTH_BIND: '127.0.0.1:0', BERTH_HTTPS_PORT: '0' })
  const start = () =>
    createApp({
      config,
      log: pino({ level: 'silent' }),
      system,
      runtime: createFakeRuntime({ system }).runtime,
    })
  const app = await start()
  await app.server.close()
  await app.stop({ keepIngress: false })
  const database = openDatabase(join(dataDir, 'berth.db'))
  database.run(
    `INSERT INTO acme_accounts (directory_url, key_sealed, account_url, created_at) VALUES ('https://ca.example', '{}', NULL, '')`,
  )
  database.close()
  rmSync(keyFileOf(dataDir))
  await t.rejects(start(), /node\.agekey is missing, and acme_accounts\.key_sealed shows/)
})

test('a key file that cannot be used stops the start and stays as it is', async (t) => {
  const dataDir = makeDataDir(t)
  await createSecrets({ dataDir, system })
  const file = keyFileOf(dataDir)
  const good = readFileSync(file, 'utf8')
  for (const text of ['', '# a comment only\n', 'AGE-SECRET-KEY-1SHORT\n', `${good}${good}`]) {
    writeFileSync(file, text)
    await t.rejects(createSecrets({ dataDir, system }), /does not hold one age identity/)
    t.equal(readFileSync(file, 'utf8'), text)
  }
  writeFileSync(file, good)
  chmodSync(file, 0o640)
  await t.rejects(createSecrets({ dataDir, system }), /chmod 600/)
})
