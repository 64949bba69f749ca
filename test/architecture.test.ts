import { globSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import { brokenRules } from './support/architecture-rules.ts'
import { scanSource } from './support/source-scan.ts'

const root = new URL('..', import.meta.url).pathname

test('the sources keep to the arrows of docs/architecture.md', async (t) => {
  const files = globSync('src/**/*.ts', { cwd: root }).toSorted()
  t.ok(files.length > 10, 'the sources were found')
  const broken = files.flatMap((file) => brokenRules(file, readFileSync(`${root}${file}`, 'utf8')))
  t.same(broken, [], broken.length === 0 ? 'no arrow is broken' : `broken:\n${broken.join('\n')}`)
})

test('every direct dependency is pinned exactly and has its line in an ADR', async (t) => {
  const manifest: Record<string, Record<string, string> | undefined> = JSON.parse(
    readFileSync(`${root}package.json`, 'utf8'),
  )
  const decisions = globSync('adr/*.md', { cwd: root }).map((file) => readFileSync(`${root}${file}`, 'utf8'))
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
    for (const [name, version] of Object.entries(manifest[kind] ?? {})) {
      t.match(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/, `${name} is pinned`)
      if (name.startsWith('@types/')) continue
      t.ok(
        decisions.some((text) => new RegExp(`(^|[\\s|,(])${name}([\\s|,(]|$)`, 'm').test(text)),
        `${name} has a line in adr/`,
      )
    }
  }
})

/** Sources that break one rule each, and what is said about it. */
const BAD: [file: string, text: string, said: string][] = [
  [
    'src/lib/tar.ts',
    "import { loadConfig } from '../config.ts'",
    'src/lib/tar.ts -> src/config.ts: lib -> config: not allowed',
  ],
  [
    'src/modules/domains/domain-operations.ts',
    "import { createServiceStore } from '../services/service-store.ts'",
    'src/modules/domains/domain-operations.ts -> src/modules/services/service-store.ts: operations -> module store of another module: not allowed',
  ],
  [
    'src/modules/domains/domain-operations.ts',
    "import { createServiceOperations } from '../services/service-operations.ts'",
    'src/modules/domains/domain-operations.ts -> src/modules/services/service-operations.ts: operations -> operations of another module: types only',
  ],
  [
    'src/modules/domains/domain-operations.ts',
    "export * from './domain-routes.ts'",
    'src/modules/domains/domain-operations.ts -> src/modules/domains/domain-routes.ts: operations -> routes: not allowed',
  ],
  [
    'src/modules/domains/domain-routes.ts',
    "import { type A, createDomainStore } from './domain-store.ts'",
    'src/modules/domains/domain-routes.ts -> src/modules/domains/domain-store.ts: routes -> module store: not allowed',
  ],
  [
    'src/ingress/worker/worker.ts',
    "const x = await import('../../modules/services/service-schema.ts')",
    'src/ingress/worker/worker.ts -> src/modules/services/service-schema.ts: ingress -> schema: not allowed',
  ],
  [
    'src/cli/deploy.ts',
    "import type { Config } from '../config.ts'",
    'src/cli/deploy.ts -> src/config.ts: cli -> config: not allowed',
  ],
  [
    'src/app.ts',
    "import { fakeRuntime } from '../test/support/fake.ts'",
    'src/app.ts -> test/support/fake.ts: outside src',
  ],
  [
    'src/modules/x/x-operations.ts',
    "import Docker from 'dockerode'",
    'src/modules/x/x-operations.ts -> dockerode: dockerode only in src/runtime',
  ],
  [
    'src/modules/x/x-store.ts',
    "import Sqlite from 'better-sqlite3'",
    'src/modules/x/x-store.ts -> better-sqlite3: better-sqlite3 only in src/store',
  ],
  [
    'src/modules/x/x-operations.ts',
    "import type { FastifyRequest } from 'fastify'",
    'src/modules/x/x-operations.ts -> fastify: fastify only in src/http and *-routes.ts',
  ],
  [
    'src/http/sse.ts',
    "import timers from 'node:timers/promises'",
    'src/http/sse.ts -> node:timers/promises: timers only in src/lib',
  ],
  ['src/lib/tar.ts', "import { join } from 'path'", 'src/lib/tar.ts -> path: needs the node: prefix'],
  [
    'src/lib/git.ts',
    "import { exec } from 'node:child_process'",
    'src/lib/git.ts -> node:child_process: import spawn or execFile by name; exec runs a shell',
  ],
  [
    'src/http/x.ts',
    "import { env } from 'node:process'",
    'src/http/x.ts -> node:process: the environment is read in src/config.ts',
  ],
  [
    'src/http/x.ts',
    'const a = 1\nconst home = process.env.HOME',
    'src/http/x.ts:2: process.env only in src/config.ts and src/cli/environment.ts',
  ],
  [
    'src/http/x.ts',
    'const { env } = process',
    'src/http/x.ts:1: process.env only in src/config.ts and src/cli/environment.ts',
  ],
  ['src/http/x.ts', 'const at = Date.now()', 'src/http/x.ts:1: the clock is System in src/lib'],
  ['src/http/x.ts', 'const at = new Date()', 'src/http/x.ts:1: the clock is System in src/lib'],
  [
    'src/http/x.ts',
    'const at = `at ${`in ${Math.random()}`}`',
    'src/http/x.ts:1: randomness is System in src/lib',
  ],
  ['src/http/x.ts', 'setInterval(run, 5)', 'src/http/x.ts:1: timers are System in src/lib'],
  ['src/http/x.ts', 'globalThis.setTimeout(run, 5)', 'src/http/x.ts:1: timers are System in src/lib'],
  ['src/lib/git.ts', 'spawn(program, args, { shell: true })', 'src/lib/git.ts:1: no shell'],
  ['src/lib/long.ts', '\n'.repeat(301), 'src/lib/long.ts: 301 lines, at most 300; split it by noun'],
  ['src/lib/index.ts', '', 'src/lib/index.ts: no barrels; import the file you mean'],
  ['src/http/http-utils.ts', '', 'src/http/http-utils.ts: name it after a noun of the glossary'],
  [
    'src/services/service.ts',
    '',
    'src/services/service.ts: the layout has no such place; see docs/architecture.md',
  ],
]

for (const [file, text, said] of BAD) {
  test(`it is reported that ${said}`, async (t) => {
    t.same(brokenRules(file, text), [said])
  })
}

/** Sources that look like offenders and are none. */
const GOOD: [file: string, text: string][] = [
  [
    'src/modules/domains/domain-operations.ts',
    "import type { ServiceOperations } from '../services/service-operations.ts'",
  ],
  [
    'src/modules/domains/domain-operations.ts',
    "import {\n  type ServiceOperations,\n  type B,\n} from '../services/service-operations.ts'",
  ],
  [
    'src/modules/domains/domain-routes.ts',
    "import fastify, { type A } from 'fastify'\nimport { addDomainBody } from './domain-schema.ts'",
  ],
  [
    'src/modules/ingress/ingress-routing.ts',
    "import type { RouteTable } from '../../ingress/contract/route-table.ts'",
  ],
  ['src/config.ts', 'const home = process.env.HOME'],
  ['src/lib/system.ts', 'const now = Date.now(), timer = setTimeout(run, 5)'],
  [
    'src/http/x.ts',
    "// Date.now() and import('../app.ts')\n/* setTimeout(x) */ const words = 'process.env Math.random()'",
  ],
  [
    'src/http/x.ts',
    "const text = `import x from '../app.ts' ${words.map((w) => `{${w}}`).join('}')} setTimeout()`",
  ],
  [
    'src/http/x.ts',
    'const found = /\\/\\* process.env [/\'"`] Date.now/.exec(text)\nconst half = (a + b) / 2, x = c / d',
  ],
  ['src/ingress/worker/worker.ts', 'socket.setTimeout(1000)\nserver.on(event, () => statement.exec(sql))'],
  ['src/http/x.ts', 'const at = new Date(ms).toISOString()'],
]

for (const [file, text] of GOOD) {
  test(`nothing is reported about ${file}: ${text.replaceAll('\n', ' ')}`, async (t) => {
    t.same(brokenRules(file, text), [])
  })
}

test('the imports of every form are found', async (t) => {
  const { imports } = scanSource(
    [
      "import 'node:a'",
      "import b, { type B, b1 as c } from 'b'",
      "import * as d from 'd'; import type { E } from 'e'",
      "export { f } from './f.ts'",
      "export const g = 'from'",
      "import { type H } from 'h'",
      'const i = await import(`i`)',
      "import type from 'j'",
      "import type K from 'k'",
    ].join('\n'),
  )
  t.same(
    imports.map((each) => [each.specifier, each.typeOnly, each.names.join(' ')]),
    [
      ['node:a', false, ''],
      ['b', false, 'default B b1'],
      ['d', false, '*'],
      ['e', true, 'E'],
      ['./f.ts', false, 'f'],
      ['h', true, 'H'],
      ['j', false, 'default'],
      ['k', true, 'default'],
      ['i', false, '*'],
    ],
  )
})
