import { UsageError } from '../cli-error.ts'
import { defineVerb } from '../verb.ts'

/** Only its help: main.ts runs the daemon itself, which none of the commands' options are for. */
export const daemon = defineVerb({
  usage: 'daemon',
  about:
    'Runs the server in the foreground, until SIGTERM or SIGINT. It takes no options: its settings come from /etc/berth/berth.toml, or from the file that BERTH_CONFIG_FILE names, and from BERTH_ variables.',
  options: {},
  operands: [0, 0],
  examples: ['BERTH_HTTP_PORT=8080 berth daemon'],
  run: () => Promise.reject(new UsageError('berth daemon takes no options')),
})
