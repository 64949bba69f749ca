import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { test } from 'tap'
import { openIdentityApi, PASSWORD } from '../support/identity-api.ts'

/** Nothing of the browser's own goes out: the machine may have no way there. */
const SWITCHES = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
]

test('a person finds an operation in a browser, fills it in, copies its command and sends it', async (t) => {
  const api = await openIdentityApi(t)
  const session = await api.bootstrap()
  const origin = await api.listen()
  const profile = mkdtempSync(join(tmpdir(), 'berth-browser-'))
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: '/usr/bin/chromium',
    args: SWITCHES,
    permissions: ['clipboard-read', 'clipboard-write'],
    viewport: { width: 1200, height: 800 },
  })
  t.teardown(async () => {
    await browser.close()
    rmSync(profile, { recursive: true, force: true })
  })
  const page = await browser.newPage()
  const complaints: string[] = []
  page.on('console', (message) => void (message.type() === 'error' && complaints.push(message.text())))
  page.on('pageerror', (error) => void complaints.push(error.message))
  await page.goto(`${origin}/docs`)
  await page.fill('#filter', 'create user')
  await page.click('#operations a[href="#createUser"]')
  await page.fill('#body', JSON.stringify({ username: 'mina', password: PASSWORD }))
  await page.fill('#token', session)
  const command = await page.textContent('#curl')
  t.match(command, `curl -X POST '${origin}/v1/users'`)
  t.match(command, '"username":"mina"')
  t.notMatch(command, session, 'the token is not in it')
  await page.click('#copy')
  t.equal(await page.evaluate('navigator.clipboard.readText()'), command)
  await page.click('#send')
  await page.waitForSelector('#answer pre:not(:empty)')
  t.match(await page.textContent('#answer'), /^201.*"username": "mina"/s)
  t.ok(await api.login('mina'), 'she is there')

  await page.fill('#token', 'bth_pat_wrong')
  await page.click('#send')
  await page.waitForSelector('#answer .bad')
  t.match(await page.textContent('#answer'), /^401/)
  t.same(
    complaints.filter((text) => !text.includes('401')),
    [],
  )
  await page.setViewportSize({ width: 360, height: 700 })
  const overhang = await page.evaluate(
    'document.documentElement.scrollWidth - document.documentElement.clientWidth',
  )
  t.equal(overhang, 0, 'a phone shows it without scrolling aside')
})
