import { CliError, EXIT, UsageError } from './cli-error.ts'
import type { Client } from './client.ts'
import { LINK_FILE, type Link, readLink } from './link-file.ts'
import type { Surroundings } from './verb.ts'
import { isId, type Project, type Service } from './wire.ts'

/** Which service is meant: what was given, completed by the link of the folder. */
export interface ServiceReference {
  project: string | undefined
  /** A name or an id. */
  service: string
}

/** `SERVICE`, `PROJECT/SERVICE` or an id. Without one, what the folder is linked to; undefined when it is linked to nothing. */
export function readServiceReference(
  given: string | undefined,
  project: string | undefined,
  link: Link,
): ServiceReference | undefined {
  if (given === undefined) {
    if (link.service === undefined) return undefined
    return { project: project ?? link.project, service: link.service }
  }
  const [first = '', second, ...rest] = given.split('/')
  if (rest.length > 0 || first === '' || second === '')
    throw new UsageError(`${given} is not SERVICE or PROJECT/SERVICE`)
  if (second === undefined) return { project: project ?? link.project, service: first }
  if (project !== undefined && project !== first)
    throw new UsageError(`${given} and --project ${project} contradict each other`)
  return { project: first, service: second }
}

/** The service that a verb is about. Throws a CliError when none is named or there is none such. */
export async function requireService(
  { directory }: Surroundings,
  client: Client,
  given: string | undefined,
  project: string | undefined,
): Promise<Service> {
  const isWhole = given !== undefined && (given.includes('/') || project !== undefined || isId(given))
  const reference = readServiceReference(given, project, isWhole ? {} : readLink(directory))
  if (!reference) {
    throw new UsageError(`no service is named, and this folder is linked to none (it has no ${LINK_FILE})`, [
      'Name one: SERVICE or PROJECT/SERVICE. berth ps lists them.',
    ])
  }
  const found = await findService(client, reference)
  if (!found)
    throw new CliError(`there is no service ${showReference(reference)} that you may see`, {
      exit: EXIT.not_found,
      hints: ['berth ps lists them.'],
    })
  return found
}

/** What to say where a service was given in place of something else: `shop/web` is nothing but a reference. */
export function serviceHint(given: string): string[] {
  return /^[a-z0-9-]+\/[a-z0-9-]+$/.test(given) ? [`If that is a service: use --service ${given}`] : []
}

export function showReference({ project, service }: ServiceReference): string {
  return project === undefined || isId(service) ? service : `${project}/${service}`
}

/** The service of this reference, if there is one. Throws a CliError when several projects have one of that name. */
export async function findService(
  client: Client,
  { project, service }: ServiceReference,
): Promise<Service | undefined> {
  if (isId(service)) {
    try {
      return await client.call('GET /v1/services/{id}', { params: { id: service } })
    } catch (error) {
      if (error instanceof CliError && error.exit === EXIT.not_found) return undefined
      throw error
    }
  }
  const projectId = project === undefined ? undefined : (await requireProject(client, project)).id
  const all = await client.list('GET /v1/services', { query: { project_id: projectId } })
  const named = all.filter(({ name }) => name === service)
  if (named.length > 1) {
    const projects = await client.list('GET /v1/projects')
    const names = named.map(
      (each) => projects.find(({ id }) => id === each.project_id)?.name ?? each.project_id,
    )
    throw new UsageError(
      `several projects have a service ${service}: say which`,
      names.map((name) => `${name}/${service}`),
    )
  }
  return named[0]
}

/** The project of this name or id. Throws a CliError when there is none that the user may see. */
export async function requireProject(client: Client, given: string): Promise<Project> {
  const all = await client.list('GET /v1/projects')
  const found = all.find(({ id, name }) => name === given || id === given)
  if (found) return found
  throw new CliError(`there is no project ${given} that you may see`, {
    exit: EXIT.not_found,
    hints: [
      all.length === 0
        ? 'You are a member of none.'
        : `There is: ${all
            .map(({ name }) => name)
            .slice(0, 20)
            .join(', ')}`,
    ],
  })
}

/** The project for something new: the given one, else the only one, else the one called `default`. */
export async function chooseProject(client: Client, given: string | undefined): Promise<Project> {
  if (given !== undefined) return requireProject(client, given)
  const all = await client.list('GET /v1/projects')
  const found = all.length === 1 ? all[0] : all.find(({ name }) => name === 'default')
  if (found) return found
  throw new UsageError('say which project: --project NAME', [
    all.length === 0
      ? 'You are a member of none yet.'
      : `There is: ${all
          .map(({ name }) => name)
          .slice(0, 20)
          .join(', ')}`,
  ])
}
