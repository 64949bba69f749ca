import { UsageError } from '../cli-error.ts'
import { cell, type Output, type Style } from '../output.ts'
import { requireService } from '../service-reference.ts'
import { defineVerb } from '../verb.ts'
import type { Deployment, Service } from '../wire.ts'

const STYLES: Readonly<Record<string, Style>> = {
  Healthy: 'green',
  Failed: 'red',
  Cancelled: 'yellow',
  Inactive: 'dim',
  Stopped: 'dim',
}

export const releases = defineVerb({
  usage: 'releases [SERVICE]',
  about:
    'Lists the deployments of a service, the newest first, and what each deploys. The one that serves is marked with *, a canary with its share of the requests. Without SERVICE: of the one that this folder is linked to.',
  options: {
    project: { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' },
    limit: { type: 'string', short: 'n', value: 'COUNT', about: 'How many (20 unless given)' },
  },
  operands: [0, 1],
  examples: ['berth releases hello', 'berth releases shop/web -n 5 -o json'],
  run: async (call) => {
    const { flags, operands, output } = call
    const limit = readCount(flags.limit ?? '20')
    const client = await call.connect()
    const service = await requireService(call, client, operands[0], flags.project)
    const deployments = await client.list('GET /v1/services/{id}/deployments', {
      params: { id: service.id },
      most: limit,
    })
    output.data(deployments, () => {
      if (deployments.length === 0) return ''
      const rows = deployments.map((each) => [
        `${each.number ?? '-'}${markOf(service, each.id)}`,
        showState(output, each),
        cell(originOf(each)),
        cell(each.created_at),
        cell(each.created_by?.name),
        cell(each.id),
        each.reason ? cell(each.reason).slice(0, 80) : '',
      ])
      return output.table(['#', 'STATUS', 'WHAT', 'CREATED', 'BY', 'ID', 'REASON'], rows)
    })
    if (deployments.length === 0) output.note(`${service.name} was never deployed.`)
  },
})

function markOf({ live_deployment_id, canary }: Service, id: string): string {
  if (id === canary?.deployment_id) return ` ${canary.percent} %`
  return id === live_deployment_id ? ' *' : ''
}

/** What a deployment deploys: the folder, a commit, an image, or an earlier release. */
function originOf({ source, commit, canary_percent: percent }: Deployment): string {
  const canary = percent === null || percent === undefined ? '' : `canary ${percent} %: `
  const { type, git_ref: ref, image, number } = source ?? {}
  if (type === 'rollback') return `${canary}back to ${number}`
  if (type === 'redeploy') return `${canary}${number} once more`
  if (type === 'external_image') return `${canary}${(image ?? '').slice(0, LONGEST_IMAGE)}`
  if (type !== 'git') return `${canary}${type ?? ''}`
  const at = commit?.ref ?? ref
  return `${canary}git ${[at, commit?.sha.slice(0, 10)].filter(Boolean).join(' ')}`.trim()
}

function showState(output: Output, { status, step }: Deployment): string {
  const style = STYLES[status] ?? 'cyan'
  return output.paint(style, `${cell(status)}${step ? ` (${cell(step)})` : ''}`)
}

/** Enough for most; a digest would push everything else off the line. */
const LONGEST_IMAGE = 50

/** A number of items, at least one. */
export function readCount(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new UsageError(`${text} is not a number from 1 to 9999999`)
  return Number(text)
}
