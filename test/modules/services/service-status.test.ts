import { test } from 'tap'
import { normalizeRelativePath } from '../../../src/lib/relative-path.ts'
import { mergeLimits, resolveLimits } from '../../../src/modules/projects/resource-limits-schema.ts'
import { serviceHostnames, urlOfHostname } from '../../../src/modules/services/service-hostname.ts'
import type { ServiceStatus } from '../../../src/modules/services/service-schema.ts'
import {
  NOTHING_OBSERVED,
  type Observation,
  serviceStatus,
  statusReason,
} from '../../../src/modules/services/service-status.ts'

const SLEEPER = {
  min_replicas: 0,
  max_replicas: 2,
  target_cpu_pct: 70,
  target_mem_pct: null,
  scale_down_cooldown_s: 300,
  idle_timeout_s: 900,
}
type Wanted = Parameters<typeof serviceStatus>[0]
const live: Wanted = { desired_state: 'running', replicas: 2, autoscale: null, live_deployment_id: 'd' }

const TABLE: [
  title: string,
  wanted: Partial<Wanted>,
  observed: Partial<Observation>,
  status: ServiceStatus,
][] = [
  ['nothing was ever deployed', { live_deployment_id: null }, {}, 'New'],
  [
    'nothing was ever deployed and it is stopped',
    { live_deployment_id: null, desired_state: 'stopped' },
    {},
    'New',
  ],
  ['the first deployment is open', { live_deployment_id: null }, { open_deployment: true }, 'Deploying'],
  ['all replicas are healthy', {}, { healthy: 2, total: 2 }, 'Running'],
  ['more replicas are healthy than wanted', {}, { healthy: 3, total: 3 }, 'Running'],
  [
    'a deployment replaces healthy replicas',
    {},
    { healthy: 2, total: 3, open_deployment: true },
    'Deploying',
  ],
  ['one of two is healthy', {}, { healthy: 1, total: 2 }, 'Degraded'],
  [
    'one of two is healthy and the other keeps exiting',
    {},
    { healthy: 1, total: 2, crash_loop: true },
    'Degraded',
  ],
  ['it sleeps', { replicas: 0, autoscale: SLEEPER }, {}, 'Sleeping'],
  ['it may sleep and was stopped', { desired_state: 'stopped', autoscale: SLEEPER }, {}, 'Stopped'],
  ['none is healthy yet', {}, { total: 2 }, 'Degraded'],
  ['nothing was seen yet', {}, {}, 'Degraded'],
  ['all keep exiting', {}, { total: 2, crash_loop: true }, 'CrashLoop'],
  [
    'all keep exiting but a deployment is open',
    {},
    { total: 2, crash_loop: true, open_deployment: true },
    'Deploying',
  ],
  ['it is stopped', { desired_state: 'stopped' }, {}, 'Stopped'],
  [
    'it is stopped and its replicas still end',
    { desired_state: 'stopped' },
    { healthy: 2, total: 2 },
    'Stopped',
  ],
  ['it was stopped while it kept exiting', { desired_state: 'stopped' }, { crash_loop: true }, 'Stopped'],
  ['it is stopped and deployed', { desired_state: 'stopped' }, { open_deployment: true }, 'Deploying'],
  ['no replicas are wanted', { replicas: 0 }, {}, 'Stopped'],
]

for (const [title, wanted, observed, status] of TABLE) {
  test(`a service is ${status} when ${title}`, async (t) => {
    t.equal(serviceStatus({ ...live, ...wanted }, { ...NOTHING_OBSERVED, ...observed }), status)
  })
}

test('why a service is not well is said for as long as it is not', async (t) => {
  const observed = { ...NOTHING_OBSERVED, trouble: 'Replica 0: exited with code 3' }
  for (const status of ['Degraded', 'CrashLoop'] as const)
    t.equal(statusReason(status, observed), observed.trouble)
  for (const status of ['Running', 'Deploying', 'Stopped'] as const)
    t.equal(statusReason(status, observed), null)
})

test('a service always answers under localhost, and first under the control domain when there is one', async (t) => {
  t.same(serviceHostnames('web', 'shop', undefined), ['web.shop.localhost'])
  t.same(serviceHostnames('web', 'shop', 'apps.example.com'), [
    'web.shop.apps.example.com',
    'web.shop.localhost',
  ])
})

test('the URL is that of TLS where the name has a certificate, and names the port unless it is the usual one', async (t) => {
  const usual = { http: 80, https: 443 }
  const own = { http: 8080, https: 8443 }
  t.equal(urlOfHostname('web.shop.localhost', false, own), 'http://web.shop.localhost:8080/')
  t.equal(urlOfHostname('web.shop.localhost', true, own), 'https://web.shop.localhost:8443/')
  t.equal(urlOfHostname('web.example.com', false, usual), 'http://web.example.com/')
  t.equal(urlOfHostname('web.example.com', true, usual), 'https://web.example.com/')
})

test('each limit comes from the service, else the project, else the node', async (t) => {
  const node = { cpu_millis: 500, memory_bytes: 512, pids: 512 }
  t.same(resolveLimits(null, null, node), node)
  t.same(resolveLimits({ pids: 8 }, { pids: 9, cpu_millis: 100 }, node), {
    cpu_millis: 100,
    memory_bytes: 512,
    pids: 8,
  })
})

test('sent limits are put over stored ones, and null clears', async (t) => {
  t.same(mergeLimits({ cpu_millis: 1, pids: 2 }, { pids: null, memory_bytes: 3 }), {
    cpu_millis: 1,
    memory_bytes: 3,
  })
  t.equal(mergeLimits({ pids: 2 }, { pids: null }), null)
  t.equal(mergeLimits({ pids: 2 }, null), null)
})

test('relative paths are brought to one form, and what leaves the root has none', async (t) => {
  t.equal(normalizeRelativePath('a/./b//c/'), 'a/b/c')
  t.equal(normalizeRelativePath('./'), '')
  for (const path of ['/a', 'a/..', '../a', '..', 'a\\b', 'a\u0085b', '\ud800', 'ä'.repeat(128)]) {
    t.equal(normalizeRelativePath(path), undefined, JSON.stringify(path))
  }
})
