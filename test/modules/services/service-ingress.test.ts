import { test } from 'tap'
import { canonicalHosts, routeRules } from '../../../src/modules/services/ingress-rules.ts'
import { DEFAULT_INGRESS, type IngressSettings } from '../../../src/modules/services/ingress-schema.ts'
import { openServiceApi } from './service-api.ts'

const PASSWORD = 'a password that is long'

test('ingress settings are set, merged, answered, and passwords are not', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web')
  await api.addService('api')
  const url = `/v1/services/${id}`
  t.same((await api.root('GET', url)).body['ingress'], DEFAULT_INGRESS)
  const sent = {
    canonical: 'www',
    redirects: [{ path: '/old', to: '/new' }],
    basic_auth: { users: [{ username: 'ann', password: PASSWORD }] },
    request_headers: { set: { 'X-Tier': 'gold' } },
    paths: [{ prefix: '/api', service: 'api' }],
    allow: ['10.0.0.0/8'],
    maintenance: {},
    sticky: true,
    max_body_bytes: 1000,
  }
  const changed = await api.root('PATCH', url, { ingress: sent })
  t.equal(changed.status, 200, changed.text)
  t.same(changed.body['ingress'], {
    ...DEFAULT_INGRESS,
    ...sent,
    redirects: [{ path: '/old', to: '/new', exact: false, status: 308 }],
    basic_auth: { realm: 'Restricted', users: [{ username: 'ann' }] },
    request_headers: { set: { 'X-Tier': 'gold' }, remove: [] },
    paths: [{ prefix: '/api', service: 'api', strip: false }],
    maintenance: { message: 'This service is being worked on. Try again shortly.', retry_after_seconds: 60 },
  })
  t.notMatch(changed.text, /sha256|salt|a password that/)
  const again = await api.root('PUT', url, { name: 'web', ingress: changed.body['ingress'] })
  t.same(again.body['ingress'], changed.body['ingress'], 'what was read can be sent back')
  const off = await api.root('PATCH', url, { ingress: { maintenance: null, basic_auth: null } })
  t.match(off.body['ingress'], { maintenance: null, basic_auth: null, sticky: true, canonical: 'www' })
  t.same((await api.root('PATCH', url, { ingress: null })).body['ingress'], DEFAULT_INGRESS)
  t.same((await api.root('PUT', url, { name: 'web' })).body['ingress'], DEFAULT_INGRESS)
})

const WRONG: [ingress: object, field: RegExp][] = [
  [{ colour: 'red' }, /colour/],
  [{ allow: ['10.0.0.0/33'] }, /^ingress\.allow\.0$/],
  [{ deny: ['host.example.com'] }, /^ingress\.deny\.0$/],
  [{ redirects: [{ path: 'old', to: '/new' }] }, /path/],
  [{ redirects: [{ path: '/old', to: 'javascript:alert(1)' }] }, /to/],
  [{ redirects: [{ path: '/old', to: '/a\r\nSet-Cookie: x' }] }, /to/],
  [{ redirects: [{ path: '/old', to: '/new', status: 200 }] }, /status/],
  [{ basic_auth: { users: [{ username: 'ann', password: 'short' }] } }, /password/],
  [{ basic_auth: { users: [{ username: 'ann' }] } }, /^ingress\.basic_auth\.users\.0\.password$/],
  [{ basic_auth: { users: [] } }, /users/],
  [{ basic_auth: { realm: 'a"b', users: [{ username: 'ann', password: PASSWORD }] } }, /realm/],
  [{ request_headers: { set: { 'Content-Length': '1' } } }, /request_headers\.set/],
  [{ request_headers: { remove: ['Transfer-Encoding'] } }, /request_headers\.remove/],
  [{ request_headers: { set: { 'X-A': 'b\r\nX-C: d' } } }, /request_headers/],
  [{ response_headers: { set: { 'bad name': 'x' } } }, /response_headers/],
  [{ paths: [{ prefix: '/api', service: 'nowhere' }] }, /^ingress\.paths\.0\.service$/],
  [{ max_body_bytes: -1 }, /max_body_bytes/],
  [{ maintenance: { retry_after_seconds: 0 } }, /retry_after_seconds/],
  [{ canonical: 'other' }, /canonical/],
  // Each within its bounds, and too much together.
  [
    {
      redirects: Array.from({ length: 40 }, (_, index) => ({
        path: `/${index}`,
        to: `/${'t'.repeat(2000)}`,
      })),
    },
    /^ingress$/,
  ],
]

test('what is wrong is named by its field', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web')
  for (const [ingress, field] of WRONG) {
    const refused = await api.root('PATCH', `/v1/services/${id}`, { ingress })
    t.equal(refused.status, 400, JSON.stringify(ingress))
    t.match(
      refused.body.details?.map((each) => each.field ?? each.message).join(),
      field,
      JSON.stringify(ingress),
    )
  }
  t.same((await api.root('GET', `/v1/services/${id}`)).body['ingress'], DEFAULT_INGRESS)
})

test('the rules of all services of a project are bounded together', async (t) => {
  const api = await openServiceApi(t)
  const redirects = Array.from({ length: 31 }, (_, index) => ({
    path: `/${index}`,
    to: `/${'t'.repeat(2000)}`,
  }))
  const add = (name: string) => api.root('POST', '/v1/services', { name, ingress: { redirects } })
  for (let count = 0; count < 16; count += 1) t.equal((await add(`s${count}`)).status, 201)
  const refused = await add('more')
  t.match(refused, {
    status: 400,
    body: { details: [{ field: 'ingress', message: /all services of the project/ }] },
  })
  const id = await api.addService('small')
  t.equal((await api.root('PATCH', `/v1/services/${id}`, { ingress: { redirects } })).status, 400)
  t.equal((await api.root('PATCH', `/v1/services/${id}`, { ingress: { sticky: true } })).status, 200)
})

test('the data plane is told only what is set, and a canonical name only where both are there', async (t) => {
  const of = (settings: Partial<IngressSettings>) =>
    routeRules({ ...DEFAULT_INGRESS, ...settings }, (name) => `${name}.shop.localhost`)
  t.equal(of({}), undefined)
  const both = ['example.com', 'www.example.com', 'other.example.com']
  t.same([...canonicalHosts('www', both)], [['example.com', 'www.example.com']])
  t.same([...canonicalHosts('apex', both)], [['www.example.com', 'example.com']])
  t.same([...canonicalHosts(null, both)], [])
  t.same([...canonicalHosts('www', ['example.com'])], [], 'never to where nobody answers')
  t.same(of({ paths: [{ prefix: '/api', service: 'api', strip: true }] }), {
    paths: [{ prefix: '/api', strip: true, hostname: 'api.shop.localhost' }],
  })
})
