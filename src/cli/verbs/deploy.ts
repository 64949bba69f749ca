import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { systemCodeOf } from '../../lib/errors.ts'
import { Interrupted, UsageError } from '../cli-error.ts'
import type { Body } from '../../api-client/route.ts'
import type { Client } from '../client.ts'
import { DETACH_OPTION, finishDeployment } from '../deployment-end.ts'
import { readLink } from '../link-file.ts'
import type { BuildPlaces } from '../pack/build-ignore.ts'
import { type FolderPack, preparePack } from '../pack/folder-pack.ts'
import { formatBytes, formatSeconds, showProgress } from '../progress-bar.ts'
import { chooseFromManifest } from '../manifest/manifest-choice.ts'
import { chooseService, PORT_OPTION, readSettings, type ServiceChoice } from '../service-choice.ts'
import { readPercent } from './canary.ts'
import { defineVerb, type Flags, type Surroundings } from '../verb.ts'
import type { Service, Upload } from '../wire.ts'

const OPTIONS = {
  service: { type: 'string', short: 's', value: 'SERVICE', about: 'The service: NAME or PROJECT/NAME' },
  project: { type: 'string', short: 'p', value: 'PROJECT', about: 'Its project' },
  dockerfile: {
    type: 'string',
    value: 'PATH',
    about: "The Dockerfile, from the folder; kept as a setting of the service, until '' takes it back",
  },
  target: {
    type: 'string',
    value: 'STAGE',
    about: "The stage of the Dockerfile to build; kept as a setting of the service, until '' takes it back",
  },
  'build-arg': {
    type: 'string',
    multiple: true,
    value: 'NAME=VALUE',
    about: 'A build argument; kept as a setting of the service',
  },
  'build-secret': {
    type: 'string',
    multiple: true,
    value: 'NAME',
    about:
      'A variable of the service that steps of the Dockerfile may read as a secret; kept as a setting of the service',
  },
  port: PORT_OPTION,
  git: { type: 'boolean', about: "From the service's repository instead of the folder" },
  ref: { type: 'string', value: 'REF', about: 'With --git: this branch, tag or commit, this once' },
  image: {
    type: 'string',
    value: 'IMAGE',
    about:
      "From the service's external image, with this tag or digest, this once; a service that is made for it keeps the image as its source",
  },
  canary: {
    type: 'string',
    value: 'PERCENT',
    about: 'Beside the live release, for so many percent of the requests; berth canary goes on from there',
  },
  detach: DETACH_OPTION,
  yes: { type: 'boolean', short: 'y', about: 'Make the service without asking when there is none' },
} as const

export const deploy = defineVerb({
  usage: 'deploy [DIR]',
  about:
    'Packs a folder (the current one unless given), uploads it, shows the log of the deployment and prints the URL once it serves. ' +
    'A service whose source is a repository or an image is deployed from there. ' +
    'Where the berth.toml says how the service is set up, that is made so first. Left out is what .gitignore and .dockerignore files exclude, and .git. Without --service the folder is deployed to the service that its berth.toml names; without one a service is made.\n' +
    'Ctrl-C while the log is shown ends only this command, not the deployment.',
  options: OPTIONS,
  operands: [0, 1],
  examples: [
    'berth deploy',
    'berth deploy examples/node-hello --service hello --yes',
    'berth deploy --service shop/web --target production -o json',
    'berth deploy --service shop/web --git --ref v1.4.2',
    'berth deploy --service shop/web --canary 10',
    'berth deploy --service shop/db --image postgres:17.2',
  ],
  run: async (call) => {
    const { flags, operands, directory } = call
    const folder = requireFolder(resolve(directory, operands[0] ?? '.'))
    const link = readLink(folder)
    const settings = readSettings(flags)
    const how = {
      detach: flags.detach,
      canary_percent: flags.canary === undefined ? undefined : readPercent(flags.canary),
    }
    const client = await call.connect()
    const { service: named, project, yes, image } = flags
    const wanted = { service: named, project, yes, settings, image }
    const choice =
      (await chooseFromManifest(call, client, folder, link, wanted)) ??
      (await chooseService(call, client, folder, link, wanted))
    const source = readSource(flags, choice)
    if (source.type !== 'upload') {
      await begin(call, client, await choice.settle(), source, how)
      return
    }
    const { dockerfile_path = choice.places.dockerfile_path } = settings
    const places = { context_path: choice.places.context_path, dockerfile_path }
    if (settings.dockerfile_path) requireDockerfile(folder, places)
    const pack = await prepare(call, folder, places)
    const service = await choice.settle()
    const upload = await sendPack(call, client, service, pack)
    await begin(call, client, service, { type: 'upload', upload_id: upload.upload_id }, how)
  },
})

type Source = Body<'POST /v1/deployments'>['source']

/** Where to deploy from: what the command line says, else what the service is set up for. */
function readSource(
  { git, ref, image }: Flags<typeof OPTIONS>,
  { source, existing }: ServiceChoice,
): Exclude<Source, { type: 'upload' }> | { type: 'upload' } {
  if (git && image !== undefined) throw new UsageError('--git and --image contradict each other')
  if (git && source.type !== 'git')
    throw new UsageError(
      existing
        ? `--git: ${existing.name} has no repository: its source is of type ${source.type}`
        : '--git: there is no such service yet, and nothing says which repository it is to have',
      [
        'Name it in a berth.toml: [services.NAME] with source = { type = "git", repo_url = "https://..." }. Nothing was changed.',
      ],
    )
  if (ref !== undefined && !git && source.type !== 'git') throw new UsageError('--ref goes with --git')
  if (image !== undefined) return { type: 'external_image', image }
  if (git || source.type === 'git') return { type: 'git', ...(ref === undefined ? {} : { git_ref: ref }) }
  return { type: source.type }
}

async function begin(
  call: Surroundings,
  client: Client,
  service: Service,
  source: Source,
  { detach, canary_percent }: { detach: boolean; canary_percent: number | undefined },
): Promise<void> {
  const deployment = await client.call('POST /v1/deployments', {
    body: { service_id: service.id, source, ...(canary_percent !== undefined && { canary_percent }) },
    idempotencyKey: call.system.newId(),
  })
  await finishDeployment(call, client, { service, deployment, detach })
}

function requireFolder(folder: string): string {
  try {
    if (statSync(folder).isDirectory()) return folder
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT' && systemCodeOf(error) !== 'ENOTDIR') throw error
    throw new UsageError(`there is no folder ${folder}`)
  }
  throw new UsageError(`${folder} is no folder`)
}

/** A mistyped name must not become a setting. */
function requireDockerfile(folder: string, { context_path, dockerfile_path }: BuildPlaces): void {
  const path = join(folder, context_path ?? '', dockerfile_path ?? '')
  if (!existsSync(path)) throw new UsageError(`there is no Dockerfile ${path}`, ['Nothing was changed.'])
}

async function prepare(call: Surroundings, folder: string, places: BuildPlaces): Promise<FolderPack> {
  const { output, system, signal } = call
  const pack = await preparePack(folder, {
    places,
    onWarning: (text) => output.warn(text),
    system,
    signal,
  })
  if (pack.total.files === 0)
    throw new UsageError(`there is no file to deploy in ${folder}, or all are ignored`)
  if (pack.holdsModules)
    output.warn('node_modules is packed too: it rarely belongs there; list it in .gitignore or .dockerignore')
  return pack
}

async function sendPack(
  call: Surroundings,
  client: Client,
  service: Service,
  pack: FolderPack,
): Promise<Upload> {
  const { output, system, environment } = call
  const stop = new AbortController()
  const startedAt = system.monotonic()
  let sent = 0
  const body = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of pack.open(AbortSignal.any([call.signal, stop.signal]))) {
      sent += chunk.length
      yield chunk
    }
  }
  const isWatched = process.stderr.isTTY && !environment.unattended && !output.quiet && !output.json
  const bar = showProgress(process.stderr, system, isWatched, 'Uploading', () => ({
    done: pack.packed.bytes,
    total: pack.total.bytes,
    sent,
  }))
  let upload: Upload
  try {
    upload = await client.upload('POST /v1/services/{id}/uploads', {
      params: { id: service.id },
      contentType: 'application/zstd',
      body: body(),
    })
  } catch (error) {
    throw error instanceof Interrupted ? new Interrupted(error.signal, ['Nothing was deployed.']) : error
  } finally {
    bar.stop()
    stop.abort()
  }
  const { files, bytes } = pack.packed
  const seconds = formatSeconds((system.monotonic() - startedAt) / 1000)
  output.note(`Uploaded ${files} files, ${formatBytes(bytes)}, packed ${formatBytes(sent)}, in ${seconds}.`)
  return upload
}
