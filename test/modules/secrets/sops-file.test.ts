import { generateIdentity, identityToRecipient } from 'age-encryption'
import { test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { openInThread } from '../../../src/modules/secrets/sops/sops-opener.ts'
import { openSopsFile } from '../../../src/modules/secrets/sops/sops-file.ts'
import type { NodeKey } from '../../../src/modules/secrets/node-key.ts'
import { encryptFile, type Plain } from '../../support/sops-fixture.ts'

async function makeKey(): Promise<NodeKey> {
  const identity = await generateIdentity()
  return { identity, recipient: await identityToRecipient(identity) }
}

const FORMATS = ['env', 'json', 'yaml'] as const
const VALUES: Record<string, Plain> = {
  PASSWORD: 'canary-5c1e',
  LINES: 'one\ntwo',
  EMPTY: '',
  UNICODE: 'é\u{1f511}',
  SPACES: ' x ',
  REGION: 'eu-west',
}

for (const format of FORMATS) {
  test(`a ${format} file is opened, with what is in the clear in it`, async (t) => {
    const key = await makeKey()
    const text = encryptFile(VALUES, format, key.recipient, { clear: ['REGION'] })
    t.notMatch(text, /canary/)
    t.match(text, /eu-west/)
    t.same(Object.fromEntries(await openSopsFile(text, format, [key])), VALUES)
  })

  test(`a ${format} file that was changed is refused`, async (t) => {
    const key = await makeKey()
    const text = encryptFile({ A: 'canary-a', B: 'canary-b', C: 'clear' }, format, key.recipient, {
      clear: ['C'],
    })
    const [a = '', b = ''] = text.match(/ENC\[AES256_GCM,data:[^\]]*\]/g) ?? []
    const line = (name: string): RegExp => new RegExp(`^.*\\b${name}\\b.*\\n`, 'm')
    const changed: [string, string][] = [
      ['dropped', text.replace(line('B'), '')],
      ['swapped', text.replace(a, '@').replace(b, a).replace('@', b)],
      ['replaced by plain text', text.replace(a, 'plain')],
      [
        'emptied',
        text
          .replace(a, format === 'env' ? '' : '""')
          .replace('"""', '""')
          .replace('"""', '""'),
      ],
      ['changed in the clear', text.replace('clear', 'other')],
      ['added', text.replace(line('A'), (found) => `${found}${found.replace('A', 'D')}`)],
      ['changed', text.replace(/data:(.)/, (_, first: string) => `data:${first === 'A' ? 'B' : 'A'}`)],
      ['later', text.replace('2026-11-27T12', '2026-11-27T13')],
    ]
    for (const [what, other] of changed) {
      t.not(other, text, what)
      const error: unknown = await openSopsFile(other, format, [key]).catch((thrown: unknown) => thrown)
      t.match(error, { name: 'SopsFileRefused' }, what)
      t.notMatch(String(error), /canary|AGE-SECRET/)
    }
  })

  test(`a ${format} file with another authentication code is refused`, async (t) => {
    const key = await makeKey()
    const text = encryptFile({ A: 'x' }, format, key.recipient, { mac: 'A'.repeat(128) })
    await t.rejects(openSopsFile(text, format, [key]), /authentication code does not fit/)
  })

  test(`a ${format} file for someone else is refused, and says for whom it is`, async (t) => {
    const [mine, other] = [await makeKey(), await makeKey()]
    const opening = openSopsFile(encryptFile({ A: 'x' }, format, other.recipient), format, [mine])
    await t.rejects(
      opening,
      new RegExp(`${other.recipient} and not for this node, which is ${mine.recipient}`),
    )
  })

  test(`a ${format} file whose code does not cover all is refused`, async (t) => {
    const key = await makeKey()
    const text = encryptFile({ A: 'x' }, format, key.recipient, { extra: { mac_only_encrypted: true } })
    await t.rejects(openSopsFile(text, format, [key]), /covers only what is encrypted/)
  })
}

test('numbers, also large ones, and truth come as they were written', async (t) => {
  const key = await makeKey()
  const values = { COUNT: 5, RATE: 0.25, ON: true, OFF: false, ID: 9_007_199_254_740_991 }
  for (const format of ['json', 'yaml'] as const) {
    const opened = await openSopsFile(encryptFile(values, format, key.recipient), format, [key])
    t.same(Object.fromEntries(opened), {
      COUNT: '5',
      RATE: '0.25',
      ON: 'true',
      OFF: 'false',
      ID: '9007199254740991',
    })
  }
})

test('a key that was retired still opens what was encrypted for it', async (t) => {
  const [now, old] = [await makeKey(), await makeKey()]
  t.same(await openSopsFile(encryptFile({ A: 'x' }, 'env', old.recipient), 'env', [now, old]), [['A', 'x']])
})

const PLAIN: [format: (typeof FORMATS)[number], text: string, reason: RegExp][] = [
  ['env', 'A=1\nB=2\n', /not encrypted with SOPS/],
  ['json', '{"A":"1"}', /not encrypted with SOPS/],
  ['yaml', 'A: 1\n', /not encrypted with SOPS/],
  ['env', 'what is this', /neither NAME=value nor a comment/],
  ['json', '{"A":', /not valid JSON/],
  ['json', '[]', /no names with values/],
  ['yaml', 'a: [', /not valid YAML/],
  ['yaml', 'a: &x [1]\nb: *x\nsops: {}\n', /references/],
  ['json', '{"A":{"B":"x"},"sops":{}}', /A is no plain value/],
  ['json', '{"A":null,"sops":{}}', /A is no plain value/],
  ['json', '{"A":"x","sops":[]}', /damaged/],
  ['json', '{"A":"x","sops":{"mac":"x","lastmodified":"x","pgp":[]}}', /not encrypted for any age key/],
  ['json', '{"A":"x","sops":{"key_groups":[]}}', /split in groups/],
]
for (const [format, text, reason] of PLAIN) {
  test(`${text} is refused`, async (t) => {
    await t.rejects(openSopsFile(text, format, [await makeKey()]), reason)
  })
}

test('a thread opens files by their names, and tells reasons and nothing else', async (t) => {
  const key = await makeKey()
  const system = createSystem()
  for (const [path, format] of [
    ['deploy/.env.production', 'env'],
    ['secrets.json', 'json'],
    ['a/b.yml', 'yaml'],
  ] as const) {
    const text = encryptFile({ A: 'x' }, format, key.recipient)
    t.same(await openInThread({ path, text }, [key], system), [['A', 'x']], path)
  }
  await t.rejects(openInThread({ path: '.env', text: 'A=canary' }, [key], system), {
    name: 'SopsFileRefused',
    message: 'it is not encrypted with SOPS',
  })
})
