import { resolve } from 'node:path'
import { applyService } from '../manifest/apply-plan.ts'
import { requireManifest } from '../manifest/manifest.ts'
import { differs, planData, planProject, requireConsent, showPlan } from '../manifest/project-plan.ts'
import { defineVerb } from '../verb.ts'

export const apply = defineVerb({
  usage: 'apply [DIR]',
  about:
    'Makes the services of a berth.toml as it says: shows what differs, asks, and changes it. Services that the manifest does not name are left alone; nothing is ever removed but settings and variables of those that it names. ' +
    'Doing it again changes nothing. What it changes comes into effect with the next deployment.',
  options: {
    service: { type: 'string', short: 's', value: 'NAME', about: 'Only this service of the manifest' },
    yes: { type: 'boolean', short: 'y', about: 'Do not ask' },
  },
  operands: [0, 1],
  examples: ['berth apply', 'berth apply --yes && berth deploy'],
  run: async (call) => {
    const { output, flags, operands, directory } = call
    const folder = resolve(directory, operands[0] ?? '.')
    const client = await call.connect()
    const manifest = await requireManifest(client, folder)
    const plan = await planProject(client, manifest, flags.service)
    output.data(planData(plan), () => showPlan(output, plan))
    if (!differs(plan)) {
      output.note('Nothing to do.')
      return
    }
    await requireConsent(call, plan, flags.yes)
    for (const each of plan.services.filter(({ action }) => action !== 'none')) {
      await applyService(client, plan.project, each)
      output.note(
        `${plan.project.name}/${each.name} ${each.action === 'create' ? 'was made' : 'was changed'}.`,
      )
    }
    const running = plan.services.some(
      ({ action, existing }) => action === 'change' && existing?.value.live_deployment_id,
    )
    if (running) output.note('It comes into effect with the next deployment: berth deploy or berth redeploy.')
  },
})
