import { CliError, EXIT, UsageError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { confirmRemoval } from '../confirmation.ts'
import { readNewPassword } from '../new-password.ts'
import { cell } from '../output.ts'
import { endSession, openSession, withSession } from '../session.ts'
import { type Call, defineVerb, type VerbGroup } from '../verb.ts'
import type { User } from '../wire.ts'

/** The user of this name or id. Throws a CliError when there is none. */
async function requireUser(client: Client, given: string): Promise<User> {
  const found = (await client.list('GET /v1/users')).find(
    ({ id, username }) => id === given || username === given,
  )
  if (found) return found
  throw new CliError(`there is no user ${given}`, { exit: EXIT.not_found })
}

const list = defineVerb({
  usage: 'users ls',
  about: 'Lists the users of the server. Needs a super-admin.',
  options: {},
  operands: [0, 0],
  examples: ['berth users ls'],
  run: async ({ connect, output }) => {
    const users = await (await connect()).list('GET /v1/users')
    output.data(users, () =>
      output.table(
        ['USER', 'SUPER-ADMIN', 'CREATED', 'ID'],
        users.map((each) => [
          cell(each.username),
          each.is_super_admin ? 'yes' : 'no',
          cell(each.created_at),
          cell(each.id),
        ]),
      ),
    )
  },
})

const create = defineVerb({
  usage: 'users create NAME',
  about: 'Makes a user. Needs a super-admin. Add the user to projects with berth members add.',
  options: {
    'super-admin': { type: 'boolean', about: 'May do everything' },
    'password-stdin': { type: 'boolean', about: 'Read the password from stdin instead of asking for it' },
  },
  operands: [1, 1],
  examples: [
    'berth users create alice',
    'berth users create bob --super-admin --password-stdin < password-file',
  ],
  run: async (call) => {
    const { flags, operands, output, terminal } = call
    const [username = ''] = operands
    const client = await call.connect()
    const password = await readNewPassword(terminal, flags['password-stdin'], username)
    const body = { username, password, is_super_admin: flags['super-admin'] }
    const user = await withSession(call, client, (each) => each.call('POST /v1/users', { body }))
    output.data(user, () => '')
    output.note(`${username} can sign in now.`)
  },
})

const remove = defineVerb({
  usage: 'users rm NAME',
  about: 'Removes a user, with all sessions and tokens. Needs a super-admin.',
  options: { yes: { type: 'boolean', short: 'y', about: 'Do not ask' } },
  operands: [1, 1],
  examples: ['berth users rm bob --yes'],
  run: async (call) => {
    const client = await call.connect()
    const user = await requireUser(client, call.operands[0] ?? '')
    await confirmRemoval(call, call.flags.yes, `user ${user.username}`)
    await withSession(call, client, (each) =>
      each.call('DELETE /v1/users/{user_id}', { params: { user_id: user.id } }),
    )
    call.output.note(`${user.username} is gone.`)
  },
})

const PASSWD_OPTIONS = {
  'password-stdin': { type: 'boolean', about: 'Read the new password of the other user from stdin' },
  'keep-tokens': {
    type: 'boolean',
    about: "Leave the other user's API tokens good; they end with the old password otherwise",
  },
  'end-tokens': { type: 'boolean', about: 'End all of your own API tokens too, also the one of this login' },
} as const

type PasswdCall = Call<typeof PASSWD_OPTIONS>

const passwd = defineVerb({
  usage: 'users passwd [NAME]',
  about:
    'Sets a new password: your own, which asks for the present one and ends your other sessions, or, as a super-admin, that of another user, which ends their sessions and API tokens.',
  options: PASSWD_OPTIONS,
  operands: [0, 1],
  examples: [
    'berth users passwd',
    'berth users passwd --end-tokens',
    'berth users passwd alice --password-stdin < password-file',
  ],
  run: async (call) => {
    const client = await call.connect()
    const me = await client.call('GET /v1/me')
    const [name = me.principal.username] = call.operands
    if (name === me.principal.username) await changeOwn(call, client, name)
    else await resetOther(call, client, name)
  },
})

async function changeOwn({ flags, ...call }: PasswdCall, client: Client, name: string): Promise<void> {
  const { terminal, output } = call
  if (flags['keep-tokens']) throw new UsageError('--keep-tokens is for the password of another user')
  if (!terminal.interactive) throw new UsageError('your own password can only be changed at a terminal')
  const current = await terminal.askSecret('Present password:')
  const session = await openSession(call, client.origin, name, current)
  try {
    const next = await readNewPassword(terminal, false, name)
    const body = { current, new: next, end_tokens: flags['end-tokens'] }
    await session.client.call('PUT /v1/me/password', { body })
    output.note(`${name} has a new password.`)
    const kept = await session.client.list('GET /v1/api-tokens')
    if (kept.length > 0)
      output.note(`${kept.length} API tokens of yours stay good: berth tokens ls. To end them: --end-tokens`)
    else if (flags['end-tokens']) output.note('Your API tokens have ended: sign in again with berth login.')
  } finally {
    await endSession(session.client)
  }
}

async function resetOther(call: PasswdCall, client: Client, name: string): Promise<void> {
  const { terminal, flags, output } = call
  if (flags['end-tokens'])
    throw new UsageError('--end-tokens is for your own password; those of others end anyway')
  const user = await requireUser(client, name)
  const password = await readNewPassword(terminal, flags['password-stdin'], name)
  await withSession(call, client, (each) =>
    each.call('PUT /v1/users/{user_id}', {
      params: { user_id: user.id },
      body: { password, keep_tokens: flags['keep-tokens'] },
    }),
  )
  const ended = flags['keep-tokens'] ? 'sessions have' : 'sessions and API tokens have'
  output.note(`${name} has a new password; their ${ended} ended.`)
}

export const users: VerbGroup = {
  about: 'The users of the server.',
  verbs: { ls: list, create, rm: remove, passwd },
  usual: 'ls',
}
