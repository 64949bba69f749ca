import { test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { createDomainCheck } from '../../../src/modules/domains/domain-check.ts'
import type { CheckFailure, CheckOutcome, DomainRow } from '../../../src/modules/domains/domain-schema.ts'
import { settleCheck } from '../../../src/modules/domains/domain-state.ts'
import { createDomainStore } from '../../../src/modules/domains/domain-store.ts'
import { createDomainUpkeep } from '../../../src/modules/domains/domain-upkeep.ts'
import { BERTH_ITSELF } from '../../../src/modules/identity/context.ts'
import { createProjectStore } from '../../../src/modules/projects/project-store.ts'
import { until } from '../../support/delivery.ts'
import { createHurriedSystem } from '../../support/hurried-system.ts'
import { openRows, service } from '../deployments/deployment-rows.ts'

const HOUR = 3_600_000
const RULES = { claimMs: 7 * 24 * HOUR, graceMs: 72 * HOUR }
const BEGIN = Date.parse('2026-11-01T00:00:00.000Z')
const at = (hours: number): string => new Date(BEGIN + hours * HOUR).toISOString()
const no = (code: CheckFailure): CheckOutcome => ({ ok: false, code, reason: 'words' })
const OK: CheckOutcome = { ok: true }

function claim(fields: Partial<DomainRow> = {}): DomainRow {
  return {
    id: 'd1',
    project_id: 'p1',
    service_id: 's1',
    hostname: 'shop.example.com',
    status: 'pending',
    token: 'token',
    reason_code: null,
    reason: null,
    checked_at: null,
    next_check_at: at(0),
    failures: 0,
    verified_at: null,
    failing_since: null,
    expires_at: at(168),
    self_signed: false,
    revision: 1,
    created_at: at(0),
    updated_at: at(0),
    ...fields,
  }
}

/** Runs checks at these hours, one after the other. */
function run(domain: DomainRow, ...checks: [hour: number, outcome: CheckOutcome][]): DomainRow {
  return checks.reduce(
    (row, [hour, outcome]) => settleCheck(row, outcome, BEGIN + hour * HOUR, 0.5, RULES),
    domain,
  )
}

test('a proof makes a claim verified, which then does not expire', async (t) => {
  const domain = run(claim(), [1, no('no_dns_record')], [2, OK])
  t.match(domain, {
    status: 'verified',
    reason: null,
    reason_code: null,
    failures: 0,
    verified_at: at(2),
    expires_at: null,
    next_check_at: at(14),
  })
  t.equal(run(domain, [14, OK]).verified_at, at(2), 'a further check does not make it newer')
})

test('a claim that fails is asked for less and less often, and keeps its end', async (t) => {
  let domain = claim()
  const pauses: number[] = []
  for (let count = 0; count < 12; count += 1) {
    domain = run(domain, [0, no('wrong_body')])
    pauses.push((Date.parse(domain.next_check_at) - BEGIN) / 60_000)
  }
  t.same(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360])
  t.match(domain, { status: 'failed', reason_code: 'wrong_body', reason: 'words', expires_at: at(168) })
})

test('a verified domain that fails stays routed for the grace, and is dropped after it', async (t) => {
  const verified = run(claim(), [0, OK])
  const failing = run(verified, [12, no('connection_refused')], [13, no('timed_out')])
  t.match(failing, {
    status: 'verified',
    failing_since: at(12),
    reason_code: 'timed_out',
    next_check_at: at(14),
  })
  t.match(run(failing, [83, no('timed_out')]), { status: 'verified' })
  t.match(run(failing, [84, no('timed_out')]), {
    status: 'failed',
    verified_at: null,
    failing_since: null,
    expires_at: at(84 + 168),
  })
  t.match(run(failing, [83, OK], [90, no('timed_out')]), {
    status: 'verified',
    failing_since: at(90),
    failures: 1,
  })
})

test('a grace that was slept through does not end a domain at the second look', async (t) => {
  const domain = run(claim(), [0, OK], [12, no('timed_out')], [500, no('timed_out')])
  t.equal(domain.status, 'verified')
  t.equal(run(domain, [501, no('timed_out')]).status, 'failed')
})

test('when DNS or the hook cannot be asked, that is not held against a domain', async (t) => {
  for (const code of ['dns_unavailable', 'hook_failed'] as const) {
    const domain = run(claim(), [0, OK], [12, no(code)], [200, no(code)], [400, no(code)])
    t.match(domain, { status: 'verified', failing_since: null, reason_code: code })
  }
})

test('checks are spread, and wildcards are looked at once a week', async (t) => {
  const early = settleCheck(claim(), OK, BEGIN, 0, RULES).next_check_at
  const late = settleCheck(claim(), OK, BEGIN, 1, RULES).next_check_at
  t.same([early, late], [at(9), at(15)])
  t.equal(run(claim({ hostname: '*.example.com' }), [0, OK]).next_check_at, at(168))
})

test('the checks of one project keep no other from its own', async (t) => {
  const { database } = openRows(t)
  const begun: string[] = []
  const held = Promise.withResolvers<void>()
  const ending = new AbortController()
  const check = createDomainCheck({
    database,
    store: createDomainStore(database),
    system: createSystem(),
    recordAudit: () => {},
    rules: RULES,
    checkHttp: async ({ hostname }) => {
      begun.push(hostname)
      await held.promise
      return no('no_dns_record')
    },
    checkDns: async () => OK,
    signal: ending.signal,
    routingChanged: () => {},
  })
  const ask = (fields: Partial<DomainRow>) =>
    check(BERTH_ITSELF, claim(fields), { audit: 'changes' }).catch((error: unknown) => error)
  const many = Array.from({ length: 100 }, (_, nth) => ask({ id: `many-${nth}`, hostname: 'many' }))
  const other = ask({ project_id: 'p2', hostname: 'other' })
  await until('the other one is checked', () => begun.includes('other'))
  t.equal(begun.length, 9)
  t.match(await many.at(-1), { code: 'BUSY' }, 'nor does one project fill the row')
  held.resolve()
  // None of them is there any more.
  t.match(await other, { code: 'NOT_FOUND' })
  t.match(await ask({ id: 'many-99', hostname: 'again' }), { code: 'NOT_FOUND' })
  t.ok(begun.includes('again'), 'what was refused for want of room is checked when there is some')
  ending.abort(new Error('over'))
  await Promise.all(many)
})

test('what was to be checked by a clock that was ahead is checked now', async (t) => {
  const { database } = openRows(t)
  const store = createDomainStore(database)
  const verified = { status: 'verified', expires_at: null } as const
  const add = (id: string, fields: Partial<DomainRow>, hours: number): void =>
    store.insert(
      claim({
        project_id: 'project',
        service_id: 'web',
        id,
        token: id,
        hostname: `${id}.example.com`,
        next_check_at: at(hours),
        expires_at: at(48),
        ...fields,
      }),
    )
  add('soon', {}, 7)
  add('claimed', {}, 24)
  add('later', verified, 15)
  add('proven', verified, 48)
  add('wild-later', { ...verified, hostname: '*.later.example.com' }, 8 * 24)
  add('wild', { ...verified, hostname: '*.example.com' }, 30 * 24)
  t.same(
    store
      .listDue(at(0), 10)
      .map(({ id }) => id)
      .toSorted(),
    ['claimed', 'proven', 'wild'],
  )
})

test('checks that never end stop neither the others nor themselves for good', async (t) => {
  const { database, services } = openRows(t)
  // The timers of what waits keep no process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const project = createProjectStore(database).load('project')
  if (!project) throw new Error('no project')
  createProjectStore(database).insert({ ...project, id: 'p2', name: 'other' })
  services.insert(service('other', { project_id: 'p2' }))
  const system = createHurriedSystem(600)
  const store = createDomainStore(database)
  const add = (id: string, fields: Partial<DomainRow>): void =>
    store.insert(claim({ id, token: id, hostname: `${id}.example.com`, ...fields }))
  const stuck = Array.from({ length: 9 }, (_, nth) => `stuck-${nth}`)
  for (const id of stuck)
    add(id, { project_id: 'project', service_id: 'web', expires_at: null, status: 'verified' })
  add('other', { project_id: 'p2', service_id: 'other', next_check_at: at(1), expires_at: at(100_000) })
  let isStuck = true
  const shared = { database, store, system, recordAudit: () => {} }
  const check = createDomainCheck({
    ...shared,
    rules: RULES,
    checkHttp: ({ hostname }) =>
      isStuck && hostname.startsWith('stuck') ? new Promise(() => {}) : Promise.resolve(OK),
    checkDns: async () => OK,
    signal: new AbortController().signal,
    routingChanged: () => {},
  })
  const errors: unknown[] = []
  const onError = (error: unknown): void => void errors.push(error)
  const upkeep = createDomainUpkeep({ ...shared, check, claimsChanged: () => {}, onError })
  const run = () => upkeep(new AbortController().signal)
  const running = run()
  const now = system.nowIso()
  add('late', { project_id: 'p2', service_id: 'other', next_check_at: now, expires_at: at(100_000) })
  await until('the others are checked, also what comes later', () =>
    ['other', 'late'].every((id) => store.find(id)?.status === 'verified'),
  )
  await until('the checks are given up', () => errors.length > 0)
  t.match(errors[0], { message: /check of stuck-\d+\.example\.com did not end in 5 minutes/ })
  isStuck = false
  await running
  system.skip(120_000)
  await run()
  t.same(store.listDue(system.nowIso(), 100), [], 'and are made again later')
})
