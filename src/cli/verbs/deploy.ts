import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { systemCodeOf } from '../../lib/errors.ts'
import { CliError, EXIT, Interrupted, UsageError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { followDeployment } from '../deployment-follow.ts'
import { readLink } from '../link-file.ts'
import type { BuildPlaces } from '../pack/build-ignore.ts'
import { type FolderPack, preparePack } from '../pack/folder-pack.ts'
import { plain } from '../plain-text.ts'
import { formatBytes, formatSeconds, showProgress } from '../progress-bar.ts'
import { chooseService, PORT_OPTION, readSettings } from '../service-choice.ts'
import { defineVerb, type Surroundings } from '../verb.ts'
import type { Deployment, Service, Upload } from '../wire.ts'

const OPTIONS = {
  service: { type: 'string', short: 's', value: 'SERVICE', about: 'The service: NAME or PROJECT/NAME' },
  project: { type: 'string', short: 'p', value: 'PROJECT', about: 'Its project' },
  dockerfile: {
    type: 'string',
    value: 'PATH',
    about: 'The Dockerfile, from the folder; kept as a setting of the service',
  },
  target: {
    type: 'string',
    value: 'STAGE',
    about: 'The stage of the Dockerfile to build; kept as a setting of the service',
  },
  'build-arg': {
    type: 'string',
    multiple: true,
    value: 'NAME=VALUE',
    about: 'A build argument; kept as a setting of the service',
  },
  port: PORT_OPTION,
  detach: { type: 'boolean', short: 'd', about: 'Do not wait for the end; print the id of the deployment' },
  yes: { type: 'boolean', short: 'y', about: 'Make the service without asking when there is none' },
} as const

export const deploy = defineVerb({
  usage: 'deploy [DIR]',
  about:
    'Packs a folder (the current one unless given), uploads it, shows the log of the deployment and prints the URL once it serves. ' +
    'Left out is what .gitignore and .dockerignore files exclude, and .git. Without --service the folder is deployed to the service that its berth.toml names; without one a service is made.\n' +
    'Ctrl-C while the log is shown ends only this command, not the deployment.',
  options: OPTIONS,
  operands: [0, 1],
  examples: [
    'berth deploy',
    'berth deploy examples/node-hello --service hello --yes',
    'berth deploy --service shop/web --target production -o json',
  ],
  run: async (call) => {
    const { flags, operands, directory, output } = call
    const folder = requireFolder(resolve(directory, operands[0] ?? '.'))
    const link = readLink(folder)
    const settings = readSettings(flags)
    const client = await call.connect()
    const { service: named, project, yes } = flags
    const choice = await chooseService(call, client, folder, link, { service: named, project, yes, settings })
    const pack = await prepare(call, folder, {
      context_path: choice.existing?.context_path ?? null,
      dockerfile_path: flags.dockerfile ?? choice.existing?.dockerfile_path ?? null,
    })
    const service = await choice.settle()
    const upload = await sendPack(call, client, service, pack)
    const deployment = await client.call('POST /v1/deployments', {
      body: { service_id: service.id, source: { type: 'upload', upload_id: upload.upload_id } },
      idempotencyKey: call.system.newId(),
    })
    output.note(`Deployment ${deployment.number ?? ''} of ${service.name} (${deployment.id})`)
    if (flags.detach) {
      output.data(deployment, () => plain(deployment.id))
      output.note(`To follow it: berth logs --deployment ${deployment.id} -f`)
      return
    }
    conclude(call, service, await followDeployment(call, client, deployment))
  },
})

function requireFolder(folder: string): string {
  try {
    if (statSync(folder).isDirectory()) return folder
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT' && systemCodeOf(error) !== 'ENOTDIR') throw error
    throw new UsageError(`there is no folder ${folder}`)
  }
  throw new UsageError(`${folder} is no folder`)
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

/** A release that was replaced before we looked did serve. */
const SERVED = new Set(['Healthy', 'Inactive'])

function conclude({ output }: Surroundings, service: Service, deployment: Deployment): void {
  const url = deployment.url ?? service.url
  if (SERVED.has(deployment.status)) {
    output.data(deployment, () => plain(url ?? ''))
    return
  }
  output.data(deployment, () => '')
  const reason = deployment.reason ? `: ${plain(deployment.reason)}` : ''
  throw new CliError(
    `deployment ${deployment.number ?? deployment.id} ended ${plain(deployment.status)}${reason}`,
    {
      exit: EXIT.not_deployed,
      hints: [
        service.live_deployment_id === null
          ? 'Nothing of this service serves yet.'
          : 'What served before goes on serving.',
        `Its log: berth logs --deployment ${deployment.id}`,
      ],
    },
  )
}
