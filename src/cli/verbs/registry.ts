import { CliError, UsageError } from '../cli-error.ts'
import { type Client, queryText, segment } from '../client.ts'
import { confirmRemoval } from '../confirmation.ts'
import { cell } from '../output.ts'
import { formatBytes } from '../progress-bar.ts'
import { defineVerb, type VerbGroup } from '../verb.ts'
import type { CollectionReport, RegistryTag, Repository } from '../wire.ts'
import { registryLogin } from './registry-login.ts'

const list = defineVerb({
  usage: 'registry ls',
  about: 'Lists the repositories that you may pull from, by name.',
  options: {},
  operands: [0, 0],
  examples: ['berth registry ls', 'berth registry ls -o json'],
  run: async ({ connect, output }) => {
    const client = await connect()
    const repositories = await client.list<Repository>('/v1/registry/repositories')
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
    const found = await client.list<RegistryTag>(`${pathOf(operands[0])}/tags`)
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
    const given = call.operands[0] ?? ''
    const path = removalPath(given)
    const client = await call.connect()
    await confirmRemoval(call, call.flags.yes, given)
    await client.send('DELETE', path)
    call.output.note(`${given} is gone.`)
  },
})

function removalPath(reference: string): string {
  const [name = '', digest] = reference.split('@')
  if (digest !== undefined) return `${pathOf(name)}/manifests/${segment(digest)}`
  const [repository, tag] = name.split(':')
  return tag === undefined ? pathOf(repository) : `${pathOf(repository)}/tags/${segment(tag)}`
}

/** A repository is named as clients name it, without the host. */
function pathOf(repository = ''): string {
  const slash = repository.indexOf('/')
  if (slash <= 0 || slash === repository.length - 1)
    throw new UsageError(`${repository} is no repository: name it PROJECT/SERVICE`)
  return `/v1/registry/repositories/${segment(repository.slice(0, slash))}/${segment(repository.slice(slash + 1))}`
}

const collect = defineVerb({
  usage: 'registry gc',
  about: 'Removes what no manifest, rule or push needs. Pushes and pulls go on meanwhile. For super-admins.',
  options: { 'dry-run': { type: 'boolean', about: 'Only tell what would go' } },
  operands: [0, 0],
  examples: ['berth registry gc --dry-run', 'berth registry gc'],
  run: async ({ connect, flags, output }) => {
    const client = await connect()
    const query = queryText({ dry_run: flags['dry-run'] ? 'true' : undefined })
    const report = await client.send<CollectionReport>('POST', `/v1/registry/gc${query}`)
    output.data(report, () =>
      [
        `${report.scanned_blobs} blobs looked at in ${report.duration_ms} ms`,
        `${report.dry_run ? 'would remove' : 'removed'}: ${report.deleted_blobs} blobs, ${report.deleted_manifests} manifests, ` +
          `${report.deleted_tags} tags, ${report.expired_uploads} unfinished uploads, ${report.removed_files} lost files`,
        `${report.dry_run ? 'would free' : 'freed'}: ${formatBytes(report.freed_bytes)}`,
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
    const found = await (await connect()).get<Record<string, unknown>>('/v1/registry/status')
    output.data(found, () => {
      const width = Math.max(...Object.keys(found).map((key) => key.length))
      return Object.entries(found)
        .map(([key, value]) => `${cell(key).padEnd(width)}   ${cell(value)}`)
        .join('\n')
    })
  },
})

export const registry: VerbGroup = {
  about: 'Images in the registry of the server.',
  verbs: { ls: list, tags, rm: remove, gc: collect, status, login: registryLogin },
  usual: 'ls',
}
