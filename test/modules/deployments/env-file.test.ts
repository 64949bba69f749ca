import { buffer } from 'node:stream/consumers'
import { test } from 'tap'
import { pack } from 'tar-stream'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import { openApp } from '../../support/app.ts'
import { addService, ask, deploy, openDelivery, OPERATOR, over, release } from '../../support/delivery.ts'
import { makeCanary, readAll } from '../../support/canary.ts'
import { encryptFile } from '../../support/sops-fixture.ts'
import { waitFor } from '../../support/wait.ts'

test('a file of variables comes before the project and behind the service', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  world.database.run('UPDATE projects SET shared_env_sealed = $env', {
    env: JSON.stringify({ A: 'project', B: 'project', C: 'project' }),
  })
  world.envFiles.set('deploy/.env', { B: 'file', C: 'file', D: 'file', PORT: '1' })
  const service = await addService(world, daemon, 'web', {
    env_file: 'deploy/.env',
    env: { C: 'service', E: 'service' },
  })
  const id = await release(world, daemon, service)
  const env = { A: 'project', B: 'file', C: 'service', D: 'file', E: 'service' }
  const port = { PORT: String(world.port) }
  t.same(world.controls.container(containerName(id, 0))?.spec.env, { ...env, ...port })
  t.match(world.logText(id), /Opened deploy\/\.env: 3 variables\./)
  t.match(world.logText(id), /PORT in deploy\/\.env is left out/)
  t.same(world.masked.get(id)?.toSorted(), ['file', 'file', 'file'])

  // Without the source what the file said is still known; the settings of today hold.
  await daemon.services.updateServiceEnv(OPERATOR, service, { set: { D: 'service' }, unset: ['C'] })
  world.envFiles.set('deploy/.env', { B: 'newer' })
  const again = await ask(daemon, service, { type: 'redeploy' })
  t.match(await over(daemon, again), { status: 'Healthy' })
  t.same(world.controls.container(containerName(again, 0))?.spec.env, {
    ...env,
    C: 'file',
    D: 'service',
    ...port,
  })
  const back = await ask(daemon, service, { type: 'rollback', deployment_id: id })
  t.match(await over(daemon, back), { status: 'Healthy' })
  t.same(world.controls.container(containerName(back, 0))?.spec.env, { ...env, ...port })

  await daemon.services.updateService(OPERATOR, service, { env_file: null })
  const without = await ask(daemon, service, { type: 'redeploy' })
  t.match(await over(daemon, without), { status: 'Healthy' })
  t.notOk('file' in Object.values(world.controls.container(containerName(without, 0))?.spec.env ?? {}))
})

test('a file that cannot be used ends the deployment with the reason', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { env_file: '.env' })
  world.envFiles.set('.env', 'it is not encrypted with SOPS')
  const id = await deploy(world, daemon, service)
  t.match(await over(daemon, id), {
    status: 'Failed',
    reason: 'The file .env cannot be used: it is not encrypted with SOPS.',
  })
  t.same(world.containers(), [])
})

async function archiveOf(files: Record<string, string>, link?: string): Promise<Buffer> {
  const tar = pack()
  for (const [name, text] of Object.entries(files)) tar.entry({ name }, text)
  if (link !== undefined) tar.entry({ name: link, type: 'symlink', linkname: 'package.json' })
  tar.finalize()
  return buffer(tar)
}

test('the whole way: an encrypted file in an upload, and nothing of it anywhere in the clear', async (t) => {
  const app = await openApp({
    environment: {
      BERTH_HTTP_BIND: '127.0.0.1',
      BERTH_HTTP_PORT: '0',
      BERTH_HTTPS_PORT: '0',
      BERTH_INGRESS_WORKERS: '1',
    },
  })
  t.teardown(() => app.close())
  const canary = makeCanary('env-file')
  const root = await app.bootstrap()
  await app.app.start()
  const recipient = String((await app.must(root, 'GET', '/v1/secrets/recipient')).body['recipient'])
  app.controls.build(({ secrets }) => ({
    lines: [{ stream: 'stdout', line: `the step prints ${secrets?.['SECRET']}` }],
  }))
  const service = String(
    (
      await app.must(root, 'POST', '/v1/services', {
        name: 'web',
        env_file: 'secrets.yaml',
        build_secrets: ['SECRET'],
        internal_port: null,
        health_check: { stays_up_seconds: 0 },
      })
    ).body['id'],
  )
  const send = async (files: Record<string, string>, link?: string) => {
    const archive = await archiveOf({ Dockerfile: 'FROM scratch', ...files }, link)
    const type = { 'content-type': 'application/x-tar' }
    const upload = await app.must(root, 'POST', `/v1/services/${service}/uploads`, archive, type)
    const source = { type: 'upload', upload_id: upload.body['upload_id'] }
    const asked = await app.must(root, 'POST', '/v1/deployments', { service_id: service, source })
    const id = String(asked.body['id'])
    return waitFor('its end', async () => {
      const { body } = await app.must(root, 'GET', `/v1/deployments/${id}`)
      return body['step'] === null && { id, ...body }
    })
  }
  const good = await send({ 'secrets.yaml': encryptFile({ SECRET: canary.value, N: 5 }, 'yaml', recipient) })
  t.match(good, { status: 'Healthy' })
  t.match(app.controls.container(containerName(good.id, 0))?.spec.env, { SECRET: canary.value, N: '5' })
  const log = await app.must(root, 'GET', `/v1/deployments/${good.id}/logs`)
  t.match(log.text, /the step prints \*\*\*/)
  t.notMatch(app.log(), /AGE-SECRET/)
  const places = [
    { name: 'the log of the deployment', text: log.text },
    { name: 'the log', text: app.log() },
    { name: 'the audit log', text: (await app.must(root, 'GET', '/v1/audit-events/export')).text },
    ...(await readAll(app.dataDir)),
  ]
  for (const { name, text } of places)
    t.notOk(
      canary.forms.some((form) => text.includes(form)),
      name,
    )

  const refusals: [Record<string, string>, string | undefined, RegExp][] = [
    [{}, undefined, /has no file secrets\.yaml/],
    [{ 'secrets.yaml': 'A: canary-f00d\n' }, undefined, /not encrypted with SOPS/],
    [{ 'package.json': '{}' }, 'secrets.yaml', /symbolic link/],
    [
      { 'secrets.yaml': encryptFile({ 'bad-name': 'x' }, 'yaml', recipient) },
      undefined,
      /must be a name of letters/,
    ],
  ]
  for (const [files, link, reason] of refusals) {
    const ended = await send(files, link)
    t.match(ended, { status: 'Failed', reason })
    t.notMatch(JSON.stringify(ended), /canary-/)
  }
})
