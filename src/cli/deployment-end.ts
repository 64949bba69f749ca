import { CliError, EXIT } from './cli-error.ts'
import type { Client } from './client.ts'
import { followDeployment } from './deployment-follow.ts'
import { plain } from './plain-text.ts'
import type { Surroundings } from './verb.ts'
import type { Deployment, Service } from './wire.ts'

/** How the verbs that begin a deployment call this option. */
export const DETACH_OPTION = {
  type: 'boolean',
  short: 'd',
  about: 'Do not wait for the end; print the id of the deployment',
} as const

export interface Begun {
  service: Service
  deployment: Deployment
  detach: boolean
}

/** Follows a deployment that was just begun to its end, and prints the URL. Throws a CliError (exit status 6) when it does not go live. */
export async function finishDeployment(
  call: Surroundings,
  client: Client,
  { service, deployment, detach }: Begun,
): Promise<void> {
  const { output } = call
  output.note(`Deployment ${deployment.number} of ${service.name}${originOf(deployment)} (${deployment.id})`)
  if (service.status === 'Stopped' && service.replicas > 0)
    output.note(`${service.name} is stopped; this deployment starts it.`)
  if (detach) {
    output.data(deployment, () => plain(deployment.id))
    output.note(`To follow it: berth logs --deployment ${deployment.id} -f`)
    return
  }
  conclude(call, service, await followDeployment(call, client, deployment))
}

/** Which earlier release it deploys. */
function originOf({ source }: Deployment): string {
  if (source?.type === 'rollback') return `: back to release ${source.number}`
  return source?.type === 'redeploy' ? `: release ${source.number} once more` : ''
}

/** A release that was replaced before we looked did serve. */
const SERVED = new Set(['Healthy', 'Inactive'])

function conclude({ output }: Surroundings, service: Service, deployment: Deployment): void {
  const url = deployment.url ?? service.url
  if (SERVED.has(deployment.status)) {
    output.data(deployment, () => plain(url ?? ''))
    const { tag } = deployment
    if (tag?.moved)
      output.note(
        `${plain(tag.image)} is ${plain(tag.digest)} by now; this is the image of before. berth deploy takes the new one.`,
      )
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
