import { CliError, EXIT, UsageError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import type { Choice, ServiceChoice } from '../service-choice.ts'
import { readServiceReference } from '../service-reference.ts'
import type { Link } from '../link-file.ts'
import type { Surroundings } from '../verb.ts'
import { applyService } from './apply-plan.ts'
import { describesServices, requireManifest } from './manifest.ts'
import { planProject, type ProjectPlan, requireConsent, showPlan } from './project-plan.ts'

/**
 * The service that a folder is deployed to, where its berth.toml says how that one is set up: settling makes it so, with the user's consent.
 * Undefined where the manifest does not speak of it.
 */
export async function chooseFromManifest(
  call: Surroundings,
  client: Client,
  folder: string,
  link: Link,
  choice: Choice,
): Promise<ServiceChoice | undefined> {
  if (!describesServices(folder)) return undefined
  const manifest = await requireManifest(client, folder)
  const reference = readServiceReference(choice.service, choice.project, link)
  if (!reference) {
    throw new UsageError(`${manifest.path} has several services: say which with --service`, [
      `There is: ${manifest.services.map(({ name }) => name).join(', ')}`,
    ])
  }
  const isNamed = manifest.services.some(({ name }) => name === reference.service)
  const isElsewhere = reference.project !== undefined && reference.project !== manifest.project
  if (!isNamed || (isElsewhere && manifest.project !== undefined)) return undefined
  const flags = Object.keys(choice.settings)
  if (flags.length > 0)
    throw new UsageError(
      `${manifest.path} says how ${reference.service} is set up: change ${flags.join(', ')} there`,
    )
  const plan = await planProject(
    client,
    { ...manifest, project: manifest.project ?? reference.project },
    reference.service,
  )
  return settleByPlan(call, client, plan, choice.yes)
}

function settleByPlan(call: Surroundings, client: Client, plan: ProjectPlan, yes: boolean): ServiceChoice {
  const [planned] = plan.services
  if (!planned) throw new Error('a plan for one service has that service')
  const missing = planned.missing_secrets
  if (missing.length > 0 && planned.existing) {
    throw new CliError(`${planned.name} lacks variables that the manifest names: ${missing.join(', ')}`, {
      exit: EXIT.conflict,
      hints: [`Set each: berth env set ${missing[0]} --service ${plan.project.name}/${planned.name}`],
    })
  }
  return {
    existing: planned.existing?.value,
    source: planned.fields['source'] as ServiceChoice['source'],
    places: planned.fields as unknown as ServiceChoice['places'],
    settle: async () => {
      if (planned.action === 'none') return applyService(client, plan.project, planned)
      call.output.note(showPlan(call.output, plan, 'stderr'))
      await requireConsent(call, plan, yes)
      const service = await applyService(client, plan.project, planned)
      if (missing.length > 0) {
        throw new CliError(`${planned.name} was made and not deployed: it lacks ${missing.join(', ')}`, {
          exit: EXIT.conflict,
          hints: [
            `Set each, then deploy: berth env set ${missing[0]} --service ${plan.project.name}/${planned.name}`,
          ],
        })
      }
      return service
    },
  }
}
