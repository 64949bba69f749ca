import { defineVerb } from '../verb.ts'
import { VERSION } from '../version.ts'

export const version = defineVerb({
  usage: 'version',
  about: 'Shows the version of this command and of the Node.js that runs it.',
  options: {},
  operands: [0, 0],
  examples: ['berth version', 'berth version -o json'],
  run: async ({ output }) => {
    output.data(
      { version: VERSION, node: process.versions.node },
      () => `berth ${VERSION} (Node.js ${process.versions.node})`,
    )
  },
})
