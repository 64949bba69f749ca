import { CliError } from '../cli-error.ts'
import { plain } from '../plain-text.ts'
import { requireService } from '../service-reference.ts'
import { defineVerb } from '../verb.ts'

export const open = defineVerb({
  usage: 'open [SERVICE]',
  about: 'Prints the URL of a service. Without SERVICE: of the one that this folder is linked to.',
  options: { project: { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' } },
  operands: [0, 1],
  examples: ['berth open hello', 'curl "$(berth open)"'],
  run: async (call) => {
    const client = await call.connect()
    const service = await requireService(call, client, call.operands[0], call.flags.project)
    const { url } = service
    if (!url) throw new CliError(`${service.name} has no URL: it listens on no port`)
    call.output.data({ url }, () => plain(url))
  },
})
