import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { loadConfig, SETTINGS } from '../src/config.ts'
import { PAGE, settingsTable, withSettingsTable } from './support/configuration-table.ts'

test('docs/configuration.md shows every setting with its default, as src/config.ts has it', async (t) => {
  const page = readFileSync(PAGE, 'utf8')
  t.equal(withSettingsTable(page), page, 'out of date? run: node test/support/configuration-table.ts')
  for (const key of Object.keys(SETTINGS)) t.match(settingsTable(), `\`${key}\``)
})

test('every BERTH_ variable that README.md and the pages of docs/ name exists', async (t) => {
  const known = new Set(Object.keys(SETTINGS).map((key) => `BERTH_${key.toUpperCase()}`))
  for (const name of ['CONFIG_FILE', 'URL', 'TOKEN', 'CONTEXT', 'TEST_RACE_SECONDS'])
    known.add(`BERTH_${name}`)
  for (const file of [
    'README.md',
    'docs/configuration.md',
    'docs/operating.md',
    'install.sh',
    'systemd/berth.service',
  ]) {
    const text = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')
    const named = [...text.matchAll(/\bBERTH_[A-Z][A-Z_]*[A-Z]\b/g)].map((match) => match[0])
    t.same(
      named.filter((name) => !known.has(name)),
      [],
      file,
    )
  }
})

test('one half of an account binding is no setting', async (t) => {
  const half = { BERTH_CONFIG_FILE: '/dev/null', BERTH_ACME_EAB_KID: 'kid-1' }
  t.throws(() => loadConfig(half), /acme_eab_kid is set and acme_eab_hmac_key is not/)
  t.match(loadConfig({ ...half, BERTH_ACME_EAB_HMAC_KEY: 'AAAA' }), { acme_eab_kid: 'kid-1' })
})
