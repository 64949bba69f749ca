import { test } from 'tap'
import { isAppError } from '../../../src/lib/errors.ts'
import { isInternalAddress } from '../../../src/lib/internal-address.ts'
import { readHostname } from '../../../src/modules/domains/hostname.ts'

const controlDomain = 'berth.example.com'
const LABEL_63 = 'a'.repeat(63)

test('every way to write a hostname comes to its one form', async (t) => {
  const table: [string, string][] = [
    ['shop.example.com', 'shop.example.com'],
    ['SHOP.Example.COM', 'shop.example.com'],
    ['shop.example.com.', 'shop.example.com'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['BÜCHER.example.', 'xn--bcher-kva.example'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['shop。example。com', 'shop.example.com'],
    ['*.example.org', '*.example.org'],
    ['*.BÜCHER.example', '*.xn--bcher-kva.example'],
    ['1.example.org', '1.example.org'],
    ['berth.example.com.evil.org', 'berth.example.com.evil.org'],
    ['notberth.example.com', 'notberth.example.com'],
    [`${LABEL_63}.example.org`, `${LABEL_63}.example.org`],
  ]
  for (const [given, expected] of table) t.equal(readHostname(given, { controlDomain }), expected, given)
})

test('what is no hostname is refused', async (t) => {
  const table = [
    '',
    '.',
    '..',
    'localhost..',
    'example',
    '.example.com',
    'shop..example.com',
    'shop.example.com..',
    '-shop.example.com',
    'shop-.example.com',
    'sh_op.example.com',
    'shop.example.com/path',
    'http://shop.example.com',
    'shop.example.com:80',
    'user@shop.example.com',
    'shop example.com',
    'shop.example.com\n',
    'shop.example.com\0',
    'shop%2eexample.com',
    '*',
    '*.com',
    '*.*.example.com',
    'a.*.example.com',
    '**.example.com',
    '127.0.0.1',
    '0x7f.1',
    '1.2.3',
    '::1',
    '[::1]',
    `a${LABEL_63}.example.org`,
    `${`${LABEL_63}.`.repeat(4)}org`,
    `*.${'a.'.repeat(125)}org`,
    'x'.repeat(1024),
  ]
  for (const given of table) {
    t.throws(
      () => readHostname(given, { controlDomain }),
      { code: 'VALIDATION_ERROR' },
      JSON.stringify(given.slice(0, 40)),
    )
  }
})

test('the control domain, what is below it and what would cover it are reserved, as is .localhost', async (t) => {
  for (const given of [
    'berth.example.com',
    'BERTH.example.com.',
    'web.shop.berth.example.com',
    '*.berth.example.com',
    '*.a.berth.example.com',
    '*.example.com',
    'a.localhost',
    '*.a.localhost',
    'web.shop.localhost.',
  ]) {
    t.throws(() => readHostname(given, { controlDomain }), { code: 'POLICY_REFUSED' }, given)
  }
  t.equal(readHostname('*.example.com', { controlDomain: undefined }), '*.example.com')
  t.ok(
    isAppError(
      thrownBy(() => readHostname('localhost', { controlDomain })),
      'VALIDATION_ERROR',
    ),
  )
})

function thrownBy(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return error
  }
}

test('addresses of this machine and of private networks are told from those of the Internet', async (t) => {
  for (const inside of [
    '127.0.0.1',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    '198.18.0.1',
    '::1',
    '::',
    'fe80::1',
    'fd00::1',
    'ff02::1',
    '::ffff:10.0.0.1',
    '::ffff:a00:1',
    '64:ff9b::a00:1',
    '2002:a00:1::',
    '2001:db8::1',
    'not an address',
    '',
  ])
    t.ok(isInternalAddress(inside), inside)
  for (const outside of ['8.8.8.8', '172.32.0.1', '100.128.0.1', '193.0.0.1', '2606:4700::1', '2a00::1'])
    t.notOk(isInternalAddress(outside), outside)
})
