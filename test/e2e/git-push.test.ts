import { request } from 'node:http'
import { test } from 'tap'
import { installBerth } from '../support/daemon.ts'
import { application, createService, readDeploymentLog, waitForEnd } from '../support/deploy.ts'
import { makeAuthority, serveGitHttps } from '../support/git-https-server.ts'
import { serveGitSsh } from '../support/git-ssh-server.ts'
import { openRepositoryRoot } from '../support/git-repository.ts'
import { waitFor } from '../support/wait.ts'
import { githubPush, signedFields } from '../modules/webhooks/payloads.ts'

interface GitDeployment {
  id: string
  number: number
  status: string
  step: string | null
  reason: string | null
  commit: { sha: string; ref: string; author: string; message: string } | null
  trigger: { kind: string; id?: string }
}

test('a service is deployed from a private repository, and a push serves the new release', async (t) => {
  const [repositories, authority] = await Promise.all([openRepositoryRoot(), makeAuthority()])
  const server = await serveGitHttps(repositories.root, authority, {
    credential: 'x-access-token:t0ken-of-the-test',
  })
  t.teardown(async () => {
    await server.close()
    await Promise.all([repositories.remove(), authority.remove()])
  })
  const repository = await repositories.create('acme/shop.git')
  const first = await repository.commit(application('first'), { message: 'First' })
  const berth = await installBerth(t, {
    BERTH_GIT_CA_FILE: authority.file,
    BERTH_GIT_PRIVATE_RANGES: '127.0.0.1,::1',
  })
  const service = await createService(berth, 'web', {
    source: { type: 'git', repo_url: `${server.url}/acme/shop.git` },
    health_check: { path: '/healthz' },
  })
  const { project_id } = await berth.call<{ project_id: string }>('GET', `/v1/services/${service}`)
  const deploy = (): Promise<GitDeployment> =>
    berth.call('POST', '/v1/deployments', { service_id: service, source: { type: 'git' } })
  const refused = await waitForEnd(berth, (await deploy()).id)
  t.match(refused, { status: 'Failed', reason: /asks for a token, and the project has none for it/ })

  await berth.call('POST', `/v1/projects/${project_id}/credentials/git`, {
    kind: 'https_token',
    host: new URL(server.url).host,
    token: 't0ken-of-the-test',
  })
  const { id } = await deploy()
  t.equal((await waitForEnd(berth, id)).status, 'Healthy')
  const release = await berth.call<GitDeployment>('GET', `/v1/deployments/${id}`)
  t.match(release.commit, { sha: first, ref: 'refs/heads/main', author: 'Olive Author', message: 'First' })
  t.match(await readDeploymentLog(berth, id), `Fetched commit ${first} by Olive Author: First`)
  t.equal(await ask(berth.httpPort()), 'first')

  const hook = await berth.call<{ id: string; path: string; secret: string }>(
    'POST',
    `/v1/services/${service}/webhooks`,
    {},
  )
  const second = await repository.commit(application('second'), { message: 'Second' })
  const body = JSON.stringify(
    githubPush({ before: first, after: second, head_commit: { id: second, message: 'Second' } }),
  )
  const answer = await fetch(`${berth.api()}${hook.path}`, {
    method: 'POST',
    headers: signedFields('github', body, hook.secret, 'delivery-1'),
    body,
  })
  t.equal(answer.status, 202)
  const receipt = (await answer.json()) as { id: string }
  const pushed = await waitFor('the deployment of the push', async () => {
    const [newest] = await berth.call<GitDeployment[]>('GET', `/v1/services/${service}/deployments`)
    return newest !== undefined && newest.id !== id && newest
  })
  t.match(pushed.trigger, { kind: 'webhook', id: receipt.id })
  t.equal((await waitForEnd(berth, pushed.id)).status, 'Healthy')
  t.equal(await ask(berth.httpPort()), 'second')
  const [delivery] = await berth.call<{ outcome: string; deployment_id: string }[]>(
    'GET',
    `/v1/services/${service}/webhooks/${hook.id}/deliveries`,
  )
  t.match(delivery, { outcome: 'deployed', deployment_id: pushed.id })
  t.notMatch(berth.log() + (await readDeploymentLog(berth, pushed.id)), 't0ken-of-the-test')

  // The same over ssh, with a key that Berth makes, a submodule beside the repository, and a folder of it that is built.
  const ssh = await serveGitSsh()
  t.teardown(ssh.close)
  const library = await repositories.create('acme/library.git')
  await library.commit({ 'text.mjs': 'export const text = "of a submodule"' })
  const files = application('third')
  files['server.mjs'] =
    `import { text } from './library/text.mjs'\n${files['server.mjs']?.replace('"third"', 'text')}`
  const inApp = Object.fromEntries(Object.entries(files).map(([name, content]) => [`app/${name}`, content]))
  const add = ['submodule', 'add', '-q', library.bare, 'app/library']
  await repository.git('-c', 'protocol.file.allow=always', ...add)
  await repository.git('config', '-f', '.gitmodules', 'submodule.app/library.url', '../library.git')
  const third = await repository.commit({ ...inApp, 'server.mjs': null }, { message: 'Third' })
  const { public_key } = await berth.call<{ public_key: string }>(
    'POST',
    `/v1/projects/${project_id}/credentials/git`,
    { generate: true, host: ssh.host },
  )
  await ssh.authorize(public_key)
  await berth.call('PATCH', `/v1/services/${service}`, {
    source: { type: 'git', repo_url: `${ssh.url}${repository.bare}`, submodules: true },
    context_path: 'app',
  })
  const overSsh = await waitForEnd(berth, (await deploy()).id)
  t.match(overSsh, { status: 'Healthy', commit: { sha: third } }, overSsh.reason ?? '')
  t.equal(await ask(berth.httpPort()), 'of a submodule')
  t.match(await readDeploymentLog(berth, overSsh.id), `pinned its host key ssh-ed25519 ${ssh.fingerprint}`)
})

async function ask(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ port, host: '127.0.0.1', headers: { host: 'web.default.localhost' } }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      response.on('end', () => resolve(text))
    })
      .on('error', reject)
      .end()
  })
}
