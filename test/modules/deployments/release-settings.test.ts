import { test } from 'tap'
import { createReleaseSettings } from '../../../src/modules/deployments/release-settings.ts'
import { service } from './deployment-rows.ts'

const secrets = {
  seal: async (values: Readonly<Record<string, string>>) => JSON.stringify(values),
  open: async (sealed: string) => JSON.parse(sealed) as Record<string, string>,
}
const nodeLimits = { cpu_millis: 500, memory_bytes: 512, pids: 100 }
const settings = (inherited: { shared?: object; limits?: { cpu_millis?: number; pids?: number } } = {}) =>
  createReleaseSettings({
    secrets,
    nodeLimits,
    inherited: () => ({
      shared_env_sealed: inherited.shared ? JSON.stringify(inherited.shared) : null,
      default_resource_limits: inherited.limits ?? null,
    }),
  })
const config = service('web').config

test('a release has each limit from the service, else the project, else the node', async (t) => {
  const limits = async (
    own: { cpu_millis?: number } | null,
    project?: { cpu_millis?: number; pids?: number },
  ) => {
    const row = service('web', { config: { ...config, resource_limits: own } })
    return (await settings(project ? { limits: project } : {}).snapshot(row)).config.resource_limits
  }
  t.same(await limits(null), nodeLimits)
  t.same(await limits(null, { pids: 7 }), { ...nodeLimits, pids: 7 })
  t.same(await limits({ cpu_millis: 1 }, { cpu_millis: 2, pids: 7 }), {
    ...nodeLimits,
    cpu_millis: 1,
    pids: 7,
  })
})

test('a release has the variables of the project under those of the service', async (t) => {
  const env = async (own: object | null, shared?: object) => {
    const row = service('web', { env_sealed: own && JSON.stringify(own) })
    const { env_sealed } = (await settings(shared ? { shared } : {}).snapshot(row)).env
    return env_sealed === null ? null : (JSON.parse(env_sealed) as object)
  }
  t.equal(await env(null), null)
  t.same(await env({ A: '1' }), { A: '1' })
  t.same(await env(null, { B: '2' }), { B: '2' })
  t.same(await env({ A: '1', B: 'own' }, { B: 'shared', C: '3' }), { A: '1', B: 'own', C: '3' })
})

const PATHS: [request: { dockerfile_path?: string; context_path?: string }, build: object | string][] = [
  [{}, { builder: 'auto', dockerfile_path: null, context_path: null }],
  [
    { dockerfile_path: './docker//Web.Dockerfile' },
    { builder: 'dockerfile', dockerfile_path: 'docker/Web.Dockerfile' },
  ],
  [{ context_path: 'app/' }, { builder: 'auto', context_path: 'app' }],
  [{ context_path: '.' }, { context_path: null }],
  [{ dockerfile_path: '.' }, 'source.dockerfile_path'],
  [{ dockerfile_path: '/etc/passwd' }, 'source.dockerfile_path'],
  [{ dockerfile_path: 'a/../../b' }, 'source.dockerfile_path'],
  [{ context_path: '..' }, 'source.context_path'],
  [{ context_path: 'a\0b' }, 'source.context_path'],
  [{ context_path: 'a\\b' }, 'source.context_path'],
]

for (const [request, expected] of PATHS) {
  test(`a deployment that names ${JSON.stringify(request)}`, async (t) => {
    const build = () => settings().buildFor(service('web'), request)
    if (typeof expected === 'string')
      t.throws(build, { code: 'VALIDATION_ERROR', details: [{ field: expected }] })
    else t.match(build(), expected)
  })
}

test('a Dockerfile is refused where the builder would not read it', async (t) => {
  const row = service('web', { build: { ...service('web').build, builder: 'static' } })
  t.throws(() => settings().buildFor(row, { dockerfile_path: 'Dockerfile' }), {
    code: 'VALIDATION_ERROR',
    details: [{ field: 'source.dockerfile_path', message: /not static/ }],
  })
})
