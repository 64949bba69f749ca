import { array, assert, constantFrom, property, string } from 'fast-check'
import { test } from 'tap'
import { createMasker } from '../../src/lib/redact.ts'

const CASES: [title: string, values: string[], text: string, masked: string][] = [
  ['a value', ['hunter22'], 'password is hunter22!', 'password is ***!'],
  ['a value twice', ['hunter22'], 'hunter22hunter22 hunter22', '*** ***'],
  ['no value', ['hunter22'], 'nothing to see', 'nothing to see'],
  ['no values at all', [], 'hunter22', 'hunter22'],
  ['values that are too short', ['abc', '', '1'], 'abc 1', 'abc 1'],
  ['the shortest value', ['abcd'], 'xabcd', 'x***'],
  ['the longer of two that begin alike', ['secret', 'secret-long'], 'a secret-long b secret', 'a *** b ***'],
  ['values that overlap', ['abcdef', 'defghi'], 'xabcdefghix', 'x***x'],
  ['values that touch', ['abcd', 'efgh'], 'abcdefgh', '***'],
  [
    'the lines of a value',
    ['-----BEGIN-----\nMIIEvQ\n}\n'],
    'key: MIIEvQ and -----BEGIN----- and }',
    'key: *** and *** and }',
  ],
  ['a value in a URL', ['p@ss word'], 'https://x?p=p%40ss%20word', 'https://x?p=***'],
  ['a value in JSON', ['say "hi"'], '{"p":"say \\"hi\\""}', '{"p":"***"}'],
  [
    'everyday values',
    ['8080', 'production', 'TRUE', '0.0.0.0'],
    'production on 0.0.0.0:8080',
    'production on 0.0.0.0:8080',
  ],
  ['a number that is no port', ['123456'], 'pin 123456', 'pin ***'],
  ['a lone surrogate', ['abcd\uD800'], 'xabcd\uD800', 'x***'],
]

for (const [title, values, text, masked] of CASES) {
  test(`masked: ${title}`, async (t) => {
    t.equal(createMasker(values).mask(text), masked)
  })
}

test('a value in base64 is masked at every offset, but for the characters that it shares', async (t) => {
  const secret = 'correct horse battery'
  const masker = createMasker([secret])
  for (const user of ['', 'a', 'ab', 'abc', 'abcd']) {
    for (const end of ['', ':', '??', '>>>']) {
      for (const encoding of ['base64', 'base64url'] as const) {
        const text = Buffer.from(`${user}${secret}${end}`).toString(encoding)
        const masked = masker.mask(`Basic ${text}`)
        const rest = masked.replace('Basic ', '').split('***')
        t.equal(rest.length, 2, masked)
        const readable = rest.map((part) => Buffer.from(part, encoding).toString('latin1')).join('')
        t.notMatch(readable, /rect|horse|battery/)
      }
    }
  }
})

test('no value is left whole anywhere, whatever the values and the text', async (t) => {
  const word = string({ unit: constantFrom('a', 'b', 'c'), minLength: 4, maxLength: 8 })
  assert(
    property(
      array(word, { maxLength: 5 }),
      string({ unit: constantFrom('a', 'b', 'c', ' '), maxLength: 60 }),
      (values, text) => {
        const masked = createMasker(values).mask(text)
        return values.every((value) => !masked.includes(value))
      },
    ),
  )
  t.pass()
})

test('many values cost no more than few', async (t) => {
  const values = Array.from({ length: 2000 }, (_, index) => `value-number-${index}-of-many`)
  const masker = createMasker(values)
  t.equal(masker.mask('x value-number-1999-of-many y'), 'x *** y')
})
