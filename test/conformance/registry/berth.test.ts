import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { openRegistryApi } from '../../support/registry-api.ts'
import { RegistryClient } from './registry-client.ts'
import { REGISTRY_CASES } from './registry-suite.ts'
import { REQUIREMENTS } from './requirements.ts'

test('every requirement of the specification has its case', async (t) => {
  const titles = new Set(REGISTRY_CASES.map(({ title }) => title))
  t.equal(titles.size, REGISTRY_CASES.length, 'titles are unique')
  for (const { section, says, cases, why } of REQUIREMENTS) {
    t.ok(cases.length > 0 || why !== undefined, `${section}: ${says}`)
    t.same(
      cases.filter((each) => !titles.has(each)),
      [],
    )
  }
})

test('Berth keeps to the distribution specification', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-registry-'))
  const api = await openRegistryApi({ dataDir })
  t.teardown(async () => {
    await api.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const client = new RegistryClient(api.origin, `Bearer ${await api.mintToken()}`)
  for (const [index, { group, level, title, run }] of REGISTRY_CASES.entries()) {
    await t.test(`${group}, ${level}: ${title}`, async (t) => {
      await run(client, `demo/case-${index}`)
      t.pass('holds')
    })
  }
  t.same(api.problems, [], 'nothing was logged as a failure')
})
