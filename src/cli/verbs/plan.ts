import { resolve } from 'node:path'
import { CliError, EXIT } from '../cli-error.ts'
import { requireManifest } from '../manifest/manifest.ts'
import { differs, planData, planProject, showPlan } from '../manifest/project-plan.ts'
import { defineVerb } from '../verb.ts'

export const plan = defineVerb({
  usage: 'plan [DIR]',
  about:
    'Compares the services of a berth.toml with those of the server and changes nothing. What is left out of the manifest is compared with its default, so what someone set by hand shows up. ' +
    'Exit status 0 when all is as it should be, 8 when something differs.',
  options: {
    service: { type: 'string', short: 's', value: 'NAME', about: 'Only this service of the manifest' },
  },
  operands: [0, 1],
  examples: ['berth plan', 'berth plan deploy/ --service web -o json'],
  run: async (call) => {
    const { output, flags, operands, directory } = call
    const folder = resolve(directory, operands[0] ?? '.')
    const client = await call.connect()
    const manifest = await requireManifest(client, folder)
    const found = await planProject(client, manifest, flags.service)
    output.data(planData(found), () => showPlan(output, found))
    if (found.others.length > 0)
      output.note(`Not in the manifest, and left alone: ${found.others.join(', ')}.`)
    if (differs(found))
      throw new CliError('the server differs from the manifest', {
        exit: EXIT.differs,
        hints: ['berth apply makes it as the manifest says.'],
      })
  },
})
