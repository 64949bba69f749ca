import { CliError, isApiError, UsageError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { confirmRemoval } from '../confirmation.ts'
import { cell } from '../output.ts'
import { formatBytes } from '../progress-bar.ts'
import { defineVerb, type VerbGroup } from '../verb.ts'
import { registryLogin } from './registry-login.ts'

const list = defineVerb({
  usage: 'registry ls',
  about: 'Lists the repositories that you may pull from, by name.',
  options: {},
  operands: [0, 0],
  examples: ['berth registry ls', 'berth registry ls -o json'],
  run: async ({ connect, output }) => {
    const client = await connect()
    const repositories = await client.list('GET /v1/registry/repositories')
    output.data(repositories, () => {
      if (repositories.length === 0) return ''
      const rows = repositories.map((each) => [
        cell(each.name),
        cell(each.tags),
        formatBytes(each.size_bytes),
        cell(each.pushed_at),
      ])
      return output.table(['REPOSITORY', 'TAGS', 'SIZE', 'PUSHED'], rows)
    })
    if (repositories.length === 0) output.note(`There is no image yet. ${pushHint(client)}`)
  },
})

function pushHint(client: Client): string {
  return `After berth registry login: docker push ${new URL(client.origin).host}/PROJECT/SERVICE:TAG`
}

const tags = defineVerb({
  usage: 'registry tags REPOSITORY',
  about: 'Lists the tags of a repository, such as shop/web.',
  options: {},
  operands: [1, 1],
  examples: ['berth registry tags shop/web'],
  run: async ({ connect, operands, output }) => {
    const client = await connect()
    const { name, params, tag, digest } = readReference(operands[0], client)
    if (tag !== undefined || digest !== undefined)
      throw new UsageError(`name the repository alone: berth registry tags ${name}`)
    const found = await client
      .list('GET /v1/registry/repositories/{project}/{service}/tags', { params })
      .catch((error: unknown) => notFound(error, name))
    output.data(found, () => {
      if (found.length === 0) return ''
      const rows = found.map((each) => [
        cell(each.name),
        cell(each.digest),
        formatBytes(each.size_bytes),
        cell(each.updated_at),
      ])
      return output.table(['TAG', 'DIGEST', 'SIZE', 'UPDATED'], rows)
    })
    if (found.length === 0) output.note('The repository has no tags.')
  },
})

const remove = defineVerb({
  usage: 'registry rm REPOSITORY[:TAG|@DIGEST]',
  about:
    'Removes a tag, a manifest with its tags, or a whole repository. Space is given back by the next collection.',
  options: { yes: { type: 'boolean', short: 'y', about: 'Do not ask' } },
  operands: [1, 1],
  examples: ['berth registry rm shop/web:v1', 'berth registry rm shop/web --yes'],
  run: async (call) => {
    const client = await call.connect()
    const { whole, params, digest, tag } = readReference(call.operands[0], client)
    await confirmRemoval(call, call.flags.yes, whole)
    const repository = 'DELETE /v1/registry/repositories/{project}/{service}'
    const removal =
      digest !== undefined
        ? client.call(`${repository}/manifests/{digest}`, { params: { ...params, digest } })
        : tag !== undefined
          ? client.call(`${repository}/tags/{tag}`, { params: { ...params, tag } })
          : client.call(repository, { params })
    await removal.catch((error: unknown) => notFound(error, whole))
    call.output.note(`${whole} is gone.`)
  },
})

interface Reference {
  /** As given, without the host. */
  whole: string
  /** `PROJECT/SERVICE`. */
  name: string
  params: RepositoryParts
  digest?: string
  tag?: string
}

/** `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`, also with the host of the server before it, as docker has it. */
function readReference(given = '', client: Client): Reference {
  const host = `${new URL(client.origin).host}/`
  const whole = given.startsWith(host) ? given.slice(host.length) : given
  const [, name = '', tag, digest] = /^([^:@]*)(?::([^:@]+))?(?:@(\w+:\w+))?$/.exec(whole) ?? []
  if (name === '') throw new UsageError(`${given} is no repository, REPOSITORY:TAG or REPOSITORY@DIGEST`)
  return {
    whole,
    name,
    params: partsOf(name),
    ...(digest !== undefined ? { digest } : tag !== undefined && { tag }),
  }
}

function notFound(error: unknown, name: string): never {
  if (!isApiError(error, 'NOT_FOUND')) throw error
  throw new CliError(`there is no ${name} in the registry, or you may not see it`, {
    exit: error.exit,
    hints: ['berth registry ls lists what there is.'],
    cause: error,
  })
}

interface RepositoryParts {
  project: string
  service: string
}

/** A repository is named as clients name it, without the host. */
function partsOf(repository: string): RepositoryParts {
  const slash = repository.indexOf('/')
  if (slash <= 0 || slash === repository.length - 1)
    throw new UsageError(`${repository} is no repository: name it PROJECT/SERVICE`)
  return { project: repository.slice(0, slash), service: repository.slice(slash + 1) }
}

const collect = defineVerb({
  usage: 'registry gc',
  about: 'Removes what no manifest, rule or push needs. Pushes and pulls go on meanwhile. For super-admins.',
  options: { 'dry-run': { type: 'boolean', about: 'Only tell what would go' } },
  operands: [0, 0],
  examples: ['berth registry gc --dry-run', 'berth registry gc'],
  run: async ({ connect, flags, output }) => {
    const client = await connect()
    const query = { dry_run: flags['dry-run'] ? true : undefined }
    const report = await client.call('POST /v1/registry/gc', { query })
    output.data(report, () =>
      [
        `${report.scanned_blobs} blobs looked at in ${report.duration_ms} ms`,
        `${report.dry_run ? 'would remove' : 'removed'}: ${report.deleted_blobs} blobs, ${report.deleted_manifests} manifests, ` +
          `${report.deleted_tags} tags, ${report.expired_uploads} unfinished uploads, ${report.removed_files} lost files`,
        `${report.dry_run ? 'would free at least' : 'freed'}: ${formatBytes(report.freed_bytes)}`,
      ].join('\n'),
    )
    if (report.problems.length > 0)
      throw new CliError(`the collection skipped: ${report.problems.map((each) => cell(each)).join('; ')}`)
  },
})

const status = defineVerb({
  usage: 'registry status',
  about: 'Shows what the registry holds, and its last collection.',
  options: {},
  operands: [0, 0],
  examples: ['berth registry status'],
  run: async ({ connect, output }) => {
    const found = await (await connect()).call('GET /v1/registry/status')
    const { last_collection: last } = found
    output.data(found, () => {
      const lines: [string, string][] = [
        ['repositories', cell(found.repositories)],
        ['manifests', cell(found.manifests)],
        ['blobs', `${found.blobs}, ${formatBytes(found.size_bytes)}`],
        ['damaged blobs', cell(found.corrupt_blobs)],
        ['open uploads', cell(found.open_uploads)],
        ['disk', `${formatBytes(found.disk_free_bytes)} free of ${formatBytes(found.disk_total_bytes)}`],
        [
          'last collection',
          last ? `${cell(last.started_at)}, freed ${formatBytes(last.freed_bytes)}` : 'none',
        ],
      ]
      return lines.map(([name, value]) => `${name.padEnd(15)}   ${value}`).join('\n')
    })
    if (found.corrupt_blobs > 0)
      output.note('Damaged blobs are not served; the next push of the same image repairs them.')
    if (last && last.problems.length > 0)
      output.note(`The last collection skipped: ${last.problems.map((each) => cell(each)).join('; ')}`)
  },
})

export const registry: VerbGroup = {
  about: 'Images in the registry of the server.',
  verbs: { ls: list, tags, rm: remove, gc: collect, status, login: registryLogin },
  usual: 'ls',
}
