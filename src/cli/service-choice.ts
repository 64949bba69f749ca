import { basename } from 'node:path'
import type { Body } from '../api-client/route.ts'
import { CliError, EXIT, UsageError } from './cli-error.ts'
import type { Client } from './client.ts'
import { LINK_FILE, type Link, writeLink } from './link-file.ts'
import type { BuildPlaces } from './pack/build-ignore.ts'
import { plain } from './plain-text.ts'
import {
  chooseProject,
  findService,
  readServiceReference,
  type ServiceReference,
  showReference,
} from './service-reference.ts'
import type { Surroundings } from './verb.ts'
import { isId, type Project, type Service } from './wire.ts'

/** Settings of a service that the command line gave; undefined: not given. */
export interface ServiceSettings {
  internal_port?: number | null
  dockerfile_path?: string | null
  target?: string | null
  build_args?: Record<string, string>
  build_secrets?: string[]
}

export interface Choice {
  service: string | undefined
  project: string | undefined
  /** Make the service without asking when there is none. */
  yes: boolean
  settings: ServiceSettings
  /** The external image that a new service is deployed from; undefined: it is deployed from uploads. */
  image: string | undefined
}

/** What a folder is deployed to. Nothing has been made or changed for it yet. */
export interface ServiceChoice {
  existing: Service | undefined
  /** Where it is deployed from once it is settled. */
  source: Pick<Source, 'type'>
  /** Where its build is found in the folder. */
  places: BuildPlaces
  /** Makes the service, with the user's consent, or gives the existing one its new settings. */
  settle(): Promise<Service>
}

type Source = NonNullable<Body<'POST /v1/services'>['source']>

const UPLOAD = { type: 'upload' } as const
const NOWHERE = { context_path: null, dockerfile_path: null }

/** The service that a folder is deployed to: the named or linked one, else a new one. */
export async function chooseService(
  call: Surroundings,
  client: Client,
  folder: string,
  link: Link,
  choice: Choice,
): Promise<ServiceChoice> {
  const reference = readServiceReference(choice.service, choice.project, link)
  if (!reference) return fromFolder(call, client, folder, link, choice)
  const existing = await findService(client, reference)
  if (!existing) return fromName(call, client, reference, choice)
  return {
    existing,
    source: existing.source,
    places: existing,
    settle: () => applySettings(call, client, existing, choice.settings),
  }
}

/** A folder that is linked to nothing: a new service of the folder's name. */
async function fromFolder(
  call: Surroundings,
  client: Client,
  folder: string,
  link: Link,
  choice: Choice,
): Promise<ServiceChoice> {
  const name = nameOfFolder(folder)
  const project = await chooseProject(client, choice.project ?? link.project)
  const shown = `${project.name}/${name}`
  if (await findService(client, { project: project.name, service: name })) {
    throw new CliError(`${folder} is linked to no service, and there is a service ${shown} already`, {
      exit: EXIT.conflict,
      hints: [`To deploy to that one: --service ${name}`, 'To make another one: berth init --service NAME'],
    })
  }
  const settle = async (): Promise<Service> => {
    await requireConsent(call, choice, shown, `${folder} is linked to no service.`)
    const service = await createService(call, client, project, name, choice)
    await writeLink(folder, { project: project.name, service: name })
    call.output.note(`Linked the folder to it in ${LINK_FILE}; keep that file under version control.`)
    return service
  }
  return { existing: undefined, source: sourceOf(choice), places: NOWHERE, settle }
}

async function fromName(
  call: Surroundings,
  client: Client,
  { project: projectName, service: name }: ServiceReference,
  choice: Choice,
): Promise<ServiceChoice> {
  if (isId(name)) throw new CliError(`there is no service ${name} that you may see`, { exit: EXIT.not_found })
  const project = await chooseProject(client, projectName)
  const shown = showReference({ project: project.name, service: name })
  const settle = async (): Promise<Service> => {
    await requireConsent(call, choice, shown, `There is no service ${shown} yet.`)
    return createService(call, client, project, name, choice)
  }
  return { existing: undefined, source: sourceOf(choice), places: NOWHERE, settle }
}

async function requireConsent(
  { terminal }: Surroundings,
  { yes }: Choice,
  shown: string,
  why: string,
): Promise<void> {
  if (yes) return
  if (!terminal.interactive)
    throw new CliError(why, { exit: EXIT.not_found, hints: [`To make the service ${shown}, add --yes.`] })
  if (!(await terminal.confirm(`${why} Make the service ${shown}?`)))
    throw new CliError('nothing was made and nothing was deployed')
}

function sourceOf({ image }: Pick<Choice, 'image'>): Source {
  return image === undefined ? UPLOAD : { type: 'external_image', image }
}

/** Makes a service that is deployed from uploads, or from the image. */
export async function createService(
  { output }: Surroundings,
  client: Client,
  project: Project,
  name: string,
  { settings, image }: Pick<Choice, 'settings' | 'image'>,
): Promise<Service> {
  const service = await client.call('POST /v1/services', {
    body: { project_id: project.id, name, source: sourceOf({ image }), ...settings },
  })
  output.note(`Made the service ${project.name}/${name}.`)
  return service
}

/** Settings of the command line become settings of the service, where they differ. */
async function applySettings(
  { output }: Surroundings,
  client: Client,
  service: Service,
  { build_args: args, build_secrets: secrets, ...settings }: ServiceSettings,
): Promise<Service> {
  const wanted = {
    ...settings,
    ...(args ? { build_args: { ...service.build_args, ...args } } : {}),
    ...(secrets ? { build_secrets: [...new Set([...(service.build_secrets ?? []), ...secrets])] } : {}),
  }
  const changed = Object.entries(wanted).filter(
    ([name, value]) => JSON.stringify(service[name as keyof Service]) !== JSON.stringify(value),
  )
  if (changed.length === 0) return service
  const shown = changed.map(([name, value]) => `${name} is now ${plain(JSON.stringify(value))}`)
  output.note(`Changed settings of ${service.name}, for later deployments too: ${shown.join(', ')}.`)
  return client.call('PATCH /v1/services/{id}', {
    params: { id: service.id },
    body: Object.fromEntries(changed),
  })
}

/** A service name from a folder's. Throws a UsageError when there is none in it. */
export function nameOfFolder(folder: string): string {
  const name = basename(folder)
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 40)
    .replaceAll(/^-+|-+$/g, '')
  if (name === '')
    throw new UsageError(`no service name can be made of ${folder}: give one with --service NAME`)
  return name
}

const BUILD_ARG = /^[A-Za-z_][A-Za-z0-9_]*$/

/** Reads `--port`, `--dockerfile`, `--target`, `--build-arg` and `--build-secret`. Throws a UsageError. */
export function readSettings(flags: {
  port?: string | undefined
  dockerfile?: string | undefined
  target?: string | undefined
  'build-arg'?: readonly string[]
  'build-secret'?: readonly string[]
}): ServiceSettings {
  const args = (flags['build-arg'] ?? []).map((each): [string, string] => {
    const [name = '', ...value] = each.split('=')
    if (!BUILD_ARG.test(name) || value.length === 0)
      throw new UsageError(`--build-arg ${each} is not NAME=VALUE`)
    return [name, value.join('=')]
  })
  const secrets = flags['build-secret'] ?? []
  for (const name of secrets)
    if (!BUILD_ARG.test(name))
      throw new UsageError(`--build-secret ${name.split('=', 1)[0]} is not the NAME of a variable`, [
        'Its value is kept with berth env set.',
      ])
  return {
    ...(flags.port === undefined ? {} : { internal_port: readPort(flags.port) }),
    // An empty value takes the setting back.
    ...(flags.dockerfile === undefined ? {} : { dockerfile_path: flags.dockerfile || null }),
    ...(flags.target === undefined ? {} : { target: flags.target || null }),
    ...(args.length === 0 ? {} : { build_args: Object.fromEntries(args) }),
    ...(secrets.length === 0 ? {} : { build_secrets: [...secrets] }),
  }
}

function readPort(text: string): number | null {
  if (text === 'none') return null
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535)
    throw new UsageError(`--port ${text} is neither a port nor "none"`)
  return port
}

/** How the two verbs that make services call these settings. */
export const PORT_OPTION = {
  type: 'string',
  value: 'PORT',
  about: 'Where the application listens (8080 unless given; it finds the number in PORT), or "none"',
} as const
