import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import Sqlite from 'better-sqlite3'
import { test } from 'tap'
import { packArchive } from '../../src/lib/archive-pack.ts'
import { githubPush, signedFields } from '../modules/webhooks/payloads.ts'
import { makeCertificate } from '../support/certificate.ts'
import { type Installation, installBerth } from '../support/daemon.ts'
import { application, createService, deployFiles, waitForEnd } from '../support/deploy.ts'
import { waitFor } from '../support/wait.ts'

const run = promisify(execFile)
const VOLUMES = [{ name: 'data', mount_path: '/data' }]
const HEALTH = { path: '/healthz', interval_ms: 200, successes: 1 }
/** The registry keeps what nothing needs for so long, at the least. */
const GRACE = { BERTH_REGISTRY_GRACE_SECONDS: '60' }

/** Everything in the engine that carries the label of this node, and every file of its data directory. */
async function thingsOf(berth: Installation, nodeId: string): Promise<string[]> {
  const filter = ['--filter', `label=berth.node=${nodeId}`]
  const list = async (kind: string, ...args: string[]): Promise<string[]> => {
    const { stdout } = await run('docker', [...args, ...filter])
    return stdout
      .split('\n')
      .filter(Boolean)
      .map((each) => `${kind} ${each}`)
  }
  const found = await Promise.all([
    list('container', 'ps', '-a', '--format', '{{.Names}}'),
    list('network', 'network', 'ls', '--format', '{{.Name}}'),
    list('volume', 'volume', 'ls', '--format', '{{.Name}}'),
    list('image', 'images', '-a', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}'),
  ])
  const entries = await readdir(berth.dataDir, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(berth.dataDir.length + 1))
    // The database's own, and what the test keeps for the command line and Node.js for programs.
    .filter((path) => !/^berth\.db|^cli\/|^\.cache\/|^backup\.tar$/.test(path))
  return [...found.flat(), ...files.map((path) => `file ${path}`)].toSorted()
}

/** Files of the data directory, but for the database, that name one of these, and names of images in the engine that do. */
async function textsNaming(berth: Installation, words: readonly string[]): Promise<string[]> {
  const isNaming = (text: string): boolean => words.some((word) => text.includes(word))
  const { stdout } = await run('docker', ['images', '--format', '{{.Repository}}:{{.Tag}}'])
  const found = stdout.split('\n').filter(isNaming)
  for (const entry of await readdir(berth.dataDir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (
      !entry.isFile() ||
      /^berth\.db|^cli\/|^\.cache\/|^backup\.tar$/.test(path.slice(berth.dataDir.length + 1))
    )
      continue
    // What is gone meanwhile names nothing.
    if (isNaming(await readFile(path, 'latin1').catch(() => ''))) found.push(path)
  }
  return found
}

/** Rows of any table, but for the audit log, that name one of these in any column. */
function rowsNaming(berth: Installation, words: readonly string[]): string[] {
  const database = new Sqlite(join(berth.dataDir, 'berth.db'), { readonly: true })
  try {
    const tables = database
      .prepare<[], { name: string }>(
        `SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'audit_events'`,
      )
      .all()
    return tables.flatMap(({ name }) =>
      database
        .prepare<[], object>(`SELECT * FROM "${name}"`)
        .all()
        .map((row) => JSON.stringify(row))
        .filter((row) => words.some((word) => row.includes(word)))
        .map((row) => `${name}: ${row.slice(0, 300)}`),
    )
  } finally {
    database.close()
  }
}

function nodeIdOf(berth: Installation): string {
  const database = new Sqlite(join(berth.dataDir, 'berth.db'), { readonly: true })
  try {
    return database.prepare<[], { id: string }>('SELECT id FROM node').get()?.id ?? ''
  } finally {
    database.close()
  }
}

async function ask(berth: Installation, host: string): Promise<number | undefined> {
  const [answer] = (await once(
    get({ host: '127.0.0.1', port: berth.httpPort(), headers: { host }, agent: false }),
    'response',
  )) as [IncomingMessage]
  answer.resume()
  return answer.statusCode
}

/** A project with everything that hangs on one, used as it is meant to be; answers the words that name it anywhere. */
async function fillProject(
  berth: Installation,
): Promise<{ project: string; services: string[]; words: string[] }> {
  const ids: string[] = []
  const make = async (path: string, body: unknown): Promise<{ id: string } & Record<string, string>> => {
    const made = await berth.call<{ id: string } & Record<string, string>>('POST', path, body)
    ids.push(made.id)
    return made
  }
  const { id: project } = await make('/v1/projects', { name: 'fleeting', shared_env: { SHARED: 'value' } })
  await make(`/v1/projects/${project}/credentials/git`, { generate: true, host: 'git.example.com' })
  await make(`/v1/projects/${project}/registries`, {
    name: 'elsewhere',
    endpoint: 'registry.example.com',
    auth_kind: 'anonymous',
  })
  await make('/v1/api-tokens', { name: 'fleeting-only', project_ids: [project] })
  // This one stays, for the other project.
  const both = { name: 'both', project_ids: [project, await defaultProject(berth)] }
  await berth.call('POST', '/v1/api-tokens', both)
  const rules = { quota_bytes: 1_000_000_000, rules: [{ repositories: '*', immutable_tags: ['kept-*'] }] }
  await berth.call('PUT', `/v1/projects/${project}/registry-rules`, rules)

  const fields = { project_id: project, env: { SECRET: 'of fleeting' }, health_check: HEALTH }
  const keeper = await createService(berth, 'keeper', { ...fields, volumes: VOLUMES })
  const web = await createService(berth, 'web', { ...fields, release_command: ['node', '-e', '0'] })
  ids.push(keeper, web)
  await make(`/v1/services/${web}/domains`, { hostname: 'fleeting.example.com' })
  const pair = await makeCertificate('fleeting.example.com')
  await make('/v1/certificates', {
    project_id: project,
    certificate: pair.chain_pem,
    private_key: pair.key_pem,
  })
  const hook = await make(`/v1/services/${web}/webhooks`, { name: 'push' })
  const body = JSON.stringify(githubPush())
  const sent = await fetch(`${berth.api()}/v1/hooks/${hook.id}`, {
    method: 'POST',
    headers: signedFields('github', body, hook['secret'] ?? '', 'delivery-of-fleeting'),
    body,
  })
  if (!sent.ok) throw new Error(`hook: ${sent.status} ${await sent.text()}`)

  const deploy = async (service: string, text: string, healthStatus = 200): Promise<string> => {
    const ended = await waitForEnd(
      berth,
      (await deployFiles(berth, service, application(text, { healthStatus }))).id,
    )
    ids.push(ended.id)
    return ended.status
  }
  const ends = [await deploy(keeper, 'kept'), await deploy(web, 'one'), await deploy(web, 'two')]
  await berth.call('PATCH', `/v1/services/${web}`, { health_check: { ...HEALTH, timeout_seconds: 3 } })
  ends.push(await deploy(web, 'bad', 500))
  if (ends.join() !== 'Healthy,Healthy,Healthy,Failed') throw new Error(ends.join())
  // An upload that nothing ever took.
  const upload = await fetch(`${berth.api()}/v1/services/${web}/uploads`, {
    method: 'POST',
    headers: { authorization: `Bearer ${berth.token()}`, 'content-type': 'application/x-tar' },
    body: new Uint8Array(
      await buffer(packArchive([{ kind: 'file', name: 'file', mode: 0o644, content: Buffer.from('x') }])),
    ),
  })
  if (upload.status !== 201) throw new Error(`upload: ${upload.status} ${await upload.text()}`)
  if ((await ask(berth, 'web.fleeting.localhost')) !== 200) throw new Error('web does not answer')
  // A restore replaces the engine's volume by another one.
  const archive = join(berth.dataDir, 'backup.tar')
  await berth.berth('volumes', 'backup', 'fleeting/keeper', 'data', archive)
  await berth.berth('volumes', 'restore', 'fleeting/keeper', 'data', archive, '--yes')
  const volumes = await berth.call<{ id: string }[]>('GET', `/v1/services/${keeper}/volumes`)
  ids.push(...volumes.flatMap(({ id }) => id ?? []))
  return { project, services: [keeper, web], words: [...ids, 'fleeting'] }
}

async function defaultProject(berth: Installation): Promise<string> {
  const projects = await berth.call<{ id: string; name: string }[]>('GET', '/v1/projects')
  return projects.find(({ name }) => name === 'default')?.id ?? ''
}

test('a deleted domain, service and project leave nothing behind: not in the engine, not on disk, not in a row', async (t) => {
  const berth = await installBerth(t, GRACE)
  const nodeId = nodeIdOf(berth)
  // What every node with a service and a volume has once.
  const stays = await createService(berth, 'stays', { volumes: VOLUMES, health_check: HEALTH })
  t.match(await waitForEnd(berth, (await deployFiles(berth, stays, application('stays'))).id), {
    status: 'Healthy',
  })
  t.equal(await ask(berth, 'stays.default.localhost'), 200)
  const before = await waitFor('nothing is under way', async () => {
    const [one, two] = [await thingsOf(berth, nodeId), await thingsOf(berth, nodeId)]
    const isLogged = one.some((each) => each.startsWith(`file logs/requests/${stays}/`))
    const isQuiet = JSON.stringify(one) === JSON.stringify(two) && !one.some((each) => /carrier-/.test(each))
    return isLogged && isQuiet && two
  })

  const routesNow = async (): Promise<unknown[]> =>
    (await berth.call<{ hostname: string; upstreams: { id: string }[] }[]>('GET', '/v1/ingress/routes')).map(
      ({ hostname, upstreams }) => [hostname, upstreams.map(({ id }) => id)],
    )
  const routes = await routesNow()
  const { project, services, words } = await fillProject(berth)
  const during = await thingsOf(berth, nodeId)
  for (const kind of ['container', 'network', 'volume', 'image', 'file'])
    t.ok(
      during.filter((each) => each.startsWith(kind)).length >
        before.filter((each) => each.startsWith(kind)).length,
      kind,
    )
  t.ok(rowsNaming(berth, words).length > 20)
  t.ok((await textsNaming(berth, words)).length > 2)

  const [keeper, web] = services
  const [domain] = await berth.call<{ id: string }[]>('GET', `/v1/services/${web}/domains`)
  await berth.call('DELETE', `/v1/services/${web}/domains/${domain?.id}`)
  t.same(rowsNaming(berth, [domain?.id ?? 'none']), [], 'the domain')
  await t.rejects(berth.call('DELETE', `/v1/projects/${project}`), /NOT_EMPTY/)
  await berth.call('DELETE', `/v1/services/${web}`)
  await berth.call('DELETE', `/v1/services/${keeper}?delete_volumes=true`)
  await waitFor('the services are gone', () => rowsNaming(berth, services).length === 0)
  await berth.call('DELETE', `/v1/projects/${project}`)

  t.same(rowsNaming(berth, words), [], 'no row names any of it')
  const left = async (): Promise<string[]> => {
    const known = new Set(before)
    return (await thingsOf(berth, nodeId)).filter((each) => !known.has(each))
  }
  t.same(await routesNow(), routes, 'the ingress has the routes of before')
  const isBlob = (each: string): boolean => each.startsWith('file registry/')
  await waitFor('only layers are left', async () => (await left()).every(isBlob)).catch(() => {})
  t.same(
    (await left()).filter((each) => !isBlob(each)),
    [],
  )
  // They may be wanted again by a push; when their time is up they go.
  await waitFor(
    'the layers are gone',
    async () => {
      await berth.call('POST', '/v1/registry/gc')
      return (await left()).length === 0
    },
    100_000,
  ).catch(() => {})
  // Uploads that were deployed go by and by.
  const lasting = (things: string[]): string[] => things.filter((each) => !each.startsWith('file uploads/'))
  t.same(await left(), [])
  t.same(lasting(await thingsOf(berth, nodeId)), lasting(before), 'everything is as it was')
  t.same(await textsNaming(berth, words), [])
  t.equal(await ask(berth, 'stays.default.localhost'), 200)
})
