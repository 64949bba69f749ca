import { cell, type Output, type Style } from '../output.ts'
import { plain } from '../plain-text.ts'
import { requireProject } from '../service-reference.ts'
import { defineVerb } from '../verb.ts'
import type { Workload } from '../wire.ts'

const STYLES: Readonly<Record<string, Style>> = {
  Running: 'green',
  Deploying: 'cyan',
  Degraded: 'yellow',
  CrashLoop: 'red',
}

/** A status in its colour. */
export function showStatus(output: Output, status: string): string {
  const style = STYLES[status]
  return style ? output.paint(style, cell(status)) : cell(status)
}

export const ps = defineVerb({
  usage: 'ps',
  about:
    'Shows how your services are: their status, how many replicas are healthy of how many ought to run, and where they answer.',
  options: {
    project: { type: 'string', short: 'p', value: 'PROJECT', about: 'Only services of this project' },
  },
  operands: [0, 0],
  examples: ['berth ps', 'berth ps --project shop -o json'],
  run: async ({ connect, flags, output }) => {
    const client = await connect()
    const wanted = flags.project === undefined ? undefined : (await requireProject(client, flags.project)).id
    const all = await client.list('GET /v1/workloads')
    const workloads = all.filter((each) => wanted === undefined || each.project_id === wanted)
    // The list may name projects by their ids only.
    const isUnnamed = workloads.some((each) => each.project_name === undefined)
    const projects = isUnnamed ? await client.list('GET /v1/projects') : []
    const projectOf = (each: Workload): string | undefined =>
      each.project_name ?? projects.find(({ id }) => id === each.project_id)?.name
    output.data(workloads, () => {
      if (workloads.length === 0) return ''
      const rows = workloads.map((each) => [
        cell(projectOf(each) ?? each.project_id),
        cell(each.name),
        showStatus(output, each.status),
        `${each.healthy_replicas}/${each.replicas}`,
        cell(each.url),
      ])
      return output.table(['PROJECT', 'SERVICE', 'STATUS', 'REPLICAS', 'URL'], rows)
    })
    for (const { name, status_reason } of workloads)
      if (status_reason) output.note(`${plain(name)}: ${plain(status_reason)}`)
    if (workloads.length === 0) output.note('There is no service yet. berth deploy makes one.')
  },
})
