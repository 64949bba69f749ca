import { CliError, UsageError } from '../cli-error.ts'
import type { Client, Tagged } from '../client.ts'
import { cell, type Output } from '../output.ts'
import { chooseProject } from '../service-reference.ts'
import type { Surroundings } from '../verb.ts'
import type { Project, Service } from '../wire.ts'
import type { Manifest } from './manifest.ts'
import { type Change, planService, type ServicePlan } from './service-plan.ts'

/** What makes a project as a manifest has it. */
export interface ProjectPlan {
  project: Project
  services: readonly (ServicePlan & { existing: Tagged<Service> | undefined })[]
  /** Services that the manifest does not speak of: they are left alone. */
  others: readonly string[]
}

/** Compares a manifest, or one service of it, with the server. */
export async function planProject(client: Client, manifest: Manifest, only?: string): Promise<ProjectPlan> {
  const project = await chooseProject(client, manifest.project)
  const present = await client.list('GET /v1/services', { query: { project_id: project.id } })
  const wanted = manifest.services.filter(({ name }) => only === undefined || name === only)
  if (wanted.length === 0)
    throw new UsageError(`${manifest.path} says nothing about ${only ?? 'any service'}`)
  const services = []
  for (const each of wanted) {
    const listed = present.find(({ name }) => name === each.name)
    // The list has no variables.
    const existing =
      listed && (await client.callTagged('GET /v1/services/{id}', { params: { id: listed.id } }))
    services.push({ ...planService(each, existing?.value, manifest.schema), existing })
  }
  const others = present.map(({ name }) => name).filter((name) => !wanted.some((each) => each.name === name))
  return { project, services, others: only === undefined ? others : [] }
}

/** Whether anything is to be done. */
export function differs({ services }: ProjectPlan): boolean {
  return services.some(({ action }) => action !== 'none')
}

const MARKS = { add: '+', change: '~', remove: '-' } as const
const COLOURS = { add: 'green', change: 'yellow', remove: 'red' } as const

/** The plan for people: one line for each difference. Values that the server keeps of variables are never among them. */
export function showPlan(
  output: Output,
  { project, services }: ProjectPlan,
  where: 'stdout' | 'stderr' = 'stdout',
): string {
  const paint = where === 'stdout' ? output.paint : output.paintErr
  return services
    .map(({ name, action, changes, missing_secrets: missing }) =>
      [
        `${paint('bold', `${cell(project.name)}/${cell(name)}`)}: ${ACTIONS[action]}`,
        ...changes.map((each) => paint(COLOURS[each.kind], `  ${MARKS[each.kind]} ${showChange(each)}`)),
        ...missing.map((each) =>
          paint('yellow', `  ! env.${cell(each)} has no value on the server: berth env set ${cell(each)}`),
        ),
      ].join('\n'),
    )
    .join('\n')
}

const ACTIONS = { create: 'is made', change: 'is changed', none: 'is as it should be' } as const

function showChange({ kind, field, from, to }: Change): string {
  const name = cell(field)
  if (kind === 'remove')
    return from === undefined
      ? name
      : `${name}: ${show(from)}${to === undefined ? '' : ` -> ${show(to)} (default)`}`
  if (kind === 'add' || from === undefined) return `${name}: ${show(to)}`
  return `${name}: ${show(from)} -> ${show(to)}`
}

function show(value: unknown): string {
  return value === null ? 'none' : cell(JSON.stringify(value))
}

/** The plan for programs. */
export function planData({ project, services, others }: ProjectPlan) {
  return {
    project: project.name,
    services: services.map(({ name, action, changes, missing_secrets }) => ({
      name,
      action,
      changes,
      missing_secrets,
    })),
    not_in_manifest: others,
  }
}

/** Asks whether the plan, which is on the screen, shall be done. */
export async function requireConsent(
  { terminal }: Surroundings,
  { services }: ProjectPlan,
  yes: boolean,
): Promise<void> {
  if (yes) return
  if (!terminal.interactive) throw new UsageError('to change the server without being asked, add --yes')
  const count = services.filter(({ action }) => action !== 'none').length
  if (!(await terminal.confirm(`Change ${count === 1 ? 'this service' : `these ${count} services`}?`)))
    throw new CliError('nothing was changed')
}
