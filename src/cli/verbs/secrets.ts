import { confirmRemoval } from '../confirmation.ts'
import { cell } from '../output.ts'
import { defineVerb, type VerbGroup } from '../verb.ts'

const recipient = defineVerb({
  usage: 'secrets recipient',
  about: 'Prints the public key of the server: what sops and age encrypt a file of variables for.',
  options: {},
  operands: [0, 0],
  examples: ['berth secrets recipient', 'sops encrypt --age "$(berth secrets recipient)" .env > secrets.env'],
  run: async ({ connect, output }) => {
    const client = await connect()
    const found = await client.call('GET /v1/secrets/recipient')
    output.data(found, () => found.recipient)
  },
})

const rotate = defineVerb({
  usage: 'secrets rotate',
  about:
    'Replaces the key of the server and seals everything anew in the background. Files that were encrypted for the old key must be encrypted again.',
  options: { yes: { type: 'boolean', short: 'y', about: 'Do not ask' } },
  operands: [0, 0],
  examples: ['berth secrets rotate', 'berth secrets rotate --yes'],
  run: async (call) => {
    const client = await call.connect()
    await confirmRemoval(call, call.flags.yes, 'the old key of the server')
    const rotation = await client.call('POST /v1/secrets/rotations')
    call.output.data(rotation, () => rotation.id)
    call.output.note('Sealing everything anew; berth secrets rotations tells how far that is.')
  },
})

const rotations = defineVerb({
  usage: 'secrets rotations',
  about: "Lists rotations of the server's key, newest first.",
  options: {},
  operands: [0, 0],
  examples: ['berth secrets rotations'],
  run: async ({ connect, output }) => {
    const client = await connect()
    const found = await client.list('GET /v1/secrets/rotations', { most: 100 })
    output.data(found, () => {
      if (found.length === 0) return ''
      const rows = found.map((each) => [
        cell(each.status),
        cell(each.resealed),
        cell(each.unreadable),
        cell(each.created_by),
        cell(each.created_at),
        cell(each.to_recipient),
      ])
      return output.table(['STATUS', 'SEALED', 'UNREADABLE', 'BY', 'BEGAN', 'NEW KEY'], rows)
    })
    if (found.length === 0) output.note('The key was never replaced.')
  },
})

export const secrets: VerbGroup = {
  about: 'The key of the server',
  verbs: { recipient, rotate, rotations },
}
