import { type FileHandle, open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { messageOf } from '../../lib/errors.ts'
import { ApiError, CliError, EXIT, Interrupted, UsageError } from '../cli-error.ts'
import { targetOf } from '../../api-client/route.ts'
import type { Client } from '../client.ts'
import { confirmRemoval } from '../confirmation.ts'
import { readFailure } from '../http-answer.ts'
import { cell } from '../output.ts'
import { formatBytes } from '../progress-bar.ts'
import { requireService } from '../service-reference.ts'
import { type Call, defineVerb, type Options, type VerbGroup } from '../verb.ts'
import { writeWholeFile } from '../whole-file.ts'
import type { Service } from '../wire.ts'

const PROJECT = { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' } as const
const YES = { type: 'boolean', short: 'y', about: 'Do not ask' } as const

type VolumeCall = Call<{ project: typeof PROJECT } & Options>

/** The service and one of its volumes, from `SERVICE VOLUME`. */
async function findVolume(
  call: VolumeCall,
  client: Client,
): Promise<{ service: Service; name: string; params: { id: string; name: string } }> {
  const [reference, name = ''] = call.operands
  const service = await requireService(call, client, reference, call.flags.project)
  return { service, name, params: { id: service.id, name } }
}

const list = defineVerb({
  usage: 'volumes ls [SERVICE]',
  about: 'Lists the volumes of a service. Without SERVICE: of the one that this folder is linked to.',
  options: { project: PROJECT },
  operands: [0, 1],
  examples: ['berth volumes ls db', 'berth volumes ls shop/db -o json'],
  run: async (call) => {
    const client = await call.connect()
    const service = await requireService(call, client, call.operands[0], call.flags.project)
    const volumes = await client.list('GET /v1/services/{id}/volumes', { params: { id: service.id } })
    call.output.data(volumes, () => {
      if (volumes.length === 0) return ''
      const rows = volumes.map((each) => [
        cell(each.name),
        cell(each.mount_path ?? '-'),
        each.lost ? 'lost' : each.size_bytes === null ? '-' : formatBytes(each.size_bytes),
        each.in_use ? 'yes' : 'no',
        cell(each.restored_at ?? each.created_at ?? '-'),
      ])
      return call.output.table(['VOLUME', 'PATH', 'SIZE', 'IN USE', 'SINCE'], rows)
    })
    if (volumes.length === 0) call.output.note('The service has no volumes.')
  },
})

const backup = defineVerb({
  usage: 'volumes backup SERVICE VOLUME [FILE]',
  about:
    'Writes the contents of a volume into a tar archive, or to standard output. Stop the service first when its files must fit each other.',
  options: { project: PROJECT },
  operands: [2, 3],
  examples: ['berth volumes backup db data db.tar', 'berth volumes backup shop/db data | zstd > db.tar.zst'],
  run: async (call) => {
    const file = call.operands[2]
    if (file === undefined && call.output.isTerminal)
      throw new UsageError('name a FILE, or send standard output somewhere else than to a terminal')
    const client = await call.connect()
    const { params } = await findVolume(call, client)
    const { method, path } = targetOf('GET /v1/services/{id}/volumes/{name}/backup', { params })
    const fetchContents = async () => {
      const response = await client.fetch(method, path, { unlimited: true })
      if (!response.ok) throw new ApiError(await readFailure(client.origin, response))
      return Readable.fromWeb(response.body as never) as AsyncIterable<Buffer>
    }
    try {
      if (file !== undefined)
        return await writeWholeFile(resolve(call.directory, file), fetchContents, call.system.now)
      for await (const chunk of await fetchContents()) await call.output.raw(chunk)
      await call.output.sync()
    } catch (error) {
      if (call.signal.aborted) throw call.signal.reason
      if (error instanceof CliError) throw error
      throw new CliError(`the backup broke off: ${messageOf(error)}`, { cause: error })
    }
  },
})

const TYPES: readonly [ending: RegExp, type: string][] = [
  [/\.(tar\.gz|tgz)$/, 'application/gzip'],
  [/\.(tar\.zst|tzst)$/, 'application/zstd'],
  [/\.tar$|^-$/, 'application/x-tar'],
]

const restore = defineVerb({
  usage: 'volumes restore SERVICE VOLUME FILE',
  about:
    'Lets the contents of a tar archive (.tar, .tar.gz, .tar.zst; - for a tar on standard input) take the place of those of a volume. Its replicas are replaced while requests wait.',
  options: { project: PROJECT, yes: YES },
  operands: [3, 3],
  examples: [
    'berth volumes restore db data db.tar',
    'zstd -dc db.tar.zst | berth volumes restore db data - --yes',
  ],
  run: async (call) => {
    const file = call.operands[2] ?? ''
    const type = TYPES.find(([ending]) => ending.test(file))?.[1]
    if (type === undefined) throw new UsageError(`${file} ends in none of .tar, .tar.gz and .tar.zst`)
    // Before anybody is asked, and before the volume is emptied for it.
    await using archive = file === '-' ? undefined : await openArchive(resolve(call.directory, file))
    const client = await call.connect()
    const { params, name, service } = await findVolume(call, client)
    await confirmRemoval(call, call.flags.yes, `what is in the volume ${name} of ${service.name}`)
    const body = archive?.createReadStream({ autoClose: false }) ?? call.terminal.input()
    let isSent = false
    const watched = async function* (): AsyncGenerator<Buffer, void, undefined> {
      yield* body as AsyncIterable<Buffer>
      isSent = true
    }
    const restored = await client
      .upload('POST /v1/services/{id}/volumes/{name}/restore', { params, contentType: type, body: watched() })
      .catch((error: unknown) => {
        throw withOutcome(error, isSent)
      })
    call.output.data(restored, () => restored.name)
    call.output.note(
      `Restored. From now on requests to ${service.name} wait for a replica with the new contents.`,
    )
  },
})

/** Says what became of the volume when the command ends without an answer: the server gives up what has not been put into place by then. */
function withOutcome(error: unknown, isSent: boolean): unknown {
  const hints = isSent
    ? [
        'All of the archive was sent: the restore may have taken place all the same.',
        'SINCE in berth volumes ls tells.',
      ]
    : ['Nothing was changed.']
  if (error instanceof Interrupted) return new Interrupted(error.signal, hints)
  if (!(error instanceof CliError) || error instanceof ApiError || error.exit !== EXIT.unavailable)
    return error
  return new CliError(error.message, { exit: error.exit, hints, cause: error })
}

async function openArchive(path: string): Promise<FileHandle> {
  try {
    const handle = await open(path)
    if (!(await handle.stat()).isDirectory()) return handle
    await handle.close()
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${messageOf(error)}`)
  }
  throw new UsageError(`${path} is a folder`)
}

const remove = defineVerb({
  usage: 'volumes rm SERVICE VOLUME',
  about:
    'Removes a volume that nothing uses any more, with all that is in it. This cannot be taken back. Of one that the engine has lost it makes room for an empty one.',
  options: { project: PROJECT, yes: YES },
  operands: [2, 2],
  examples: ['berth volumes rm db old-data'],
  run: async (call) => {
    const client = await call.connect()
    const { params, name, service } = await findVolume(call, client)
    await confirmRemoval(call, call.flags.yes, `the volume ${name} of ${service.name} and all that is in it`)
    await client.call('DELETE /v1/services/{id}/volumes/{name}', { params })
    call.output.note(`${name} is gone.`)
  },
})

export const volumes: VerbGroup = {
  about: 'The volumes of services.',
  verbs: { ls: list, backup, restore, rm: remove },
  usual: 'ls',
}
