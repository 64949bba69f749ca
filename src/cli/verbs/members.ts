import { CliError, EXIT, UsageError } from '../cli-error.ts'
import { readLink } from '../link-file.ts'
import { cell } from '../output.ts'
import { requireProject } from '../service-reference.ts'
import { withSession } from '../session.ts'
import { defineVerb, type Surroundings, type VerbGroup } from '../verb.ts'

const PROJECT = {
  type: 'string',
  short: 'p',
  value: 'PROJECT',
  about: 'The project, unless this folder is linked to one',
} as const

function projectName({ directory }: Surroundings, given: string | undefined): string {
  const project = given ?? readLink(directory).project
  if (project === undefined) throw new UsageError('say which project: --project NAME')
  return project
}

const list = defineVerb({
  usage: 'members ls [PROJECT]',
  about: 'Lists the members of a project and their roles.',
  options: { project: PROJECT },
  operands: [0, 1],
  examples: ['berth members ls shop'],
  run: async (call) => {
    const client = await call.connect()
    const project = await requireProject(client, projectName(call, call.operands[0] ?? call.flags.project))
    const members = await client.list('GET /v1/projects/{id}/members', { params: { id: project.id } })
    call.output.data(members, () =>
      call.output.table(
        ['USER', 'ROLE', 'SINCE'],
        members.map((each) => [
          cell(each.username),
          cell(each.role_name ?? each.role),
          cell(each.created_at),
        ]),
      ),
    )
  },
})

const add = defineVerb({
  usage: 'members add USER --role ROLE',
  about:
    'Makes a user a member of a project, or changes the role of a member: viewer, operator, admin, or a custom role.',
  options: {
    project: PROJECT,
    role: { type: 'string', value: 'ROLE', about: 'viewer, operator, admin, or the name of a custom role' },
  },
  operands: [1, 1],
  examples: ['berth members add alice --role operator --project shop'],
  run: async (call) => {
    const { flags, operands, output } = call
    const [username = ''] = operands
    if (flags.role === undefined) throw new UsageError('say which role: --role viewer, operator or admin')
    const client = await call.connect()
    const project = await requireProject(client, projectName(call, flags.project))
    const people = await client.list('GET /v1/users/directory')
    const user = people.find((each) => each.username === username || each.id === username)
    if (!user) throw new CliError(`there is no user ${username}`, { exit: EXIT.not_found })
    const roles = await client.list('GET /v1/roles')
    const role = roles.find(({ id, name }) => name === flags.role || id === flags.role)
    if (!role) {
      const known = roles.map(({ name }) => name).join(', ')
      throw new CliError(`there is no role ${flags.role}`, {
        exit: EXIT.not_found,
        hints: [`There is: ${known}`],
      })
    }
    const body = { user_id: user.id, role: role.id }
    const params = { id: project.id }
    const member = await withSession(call, client, (each) =>
      each.call('POST /v1/projects/{id}/members', { params, body }),
    )
    output.data(member, () => '')
    output.note(`${user.username} is ${role.name} in ${project.name}.`)
  },
})

const remove = defineVerb({
  usage: 'members rm USER',
  about: 'Takes a user out of a project.',
  options: { project: PROJECT },
  operands: [1, 1],
  examples: ['berth members rm alice --project shop'],
  run: async (call) => {
    const [username = ''] = call.operands
    const client = await call.connect()
    const project = await requireProject(client, projectName(call, call.flags.project))
    const params = { id: project.id }
    const member = (await client.list('GET /v1/projects/{id}/members', { params })).find(
      (each) => each.username === username || each.user_id === username,
    )
    if (!member) throw new CliError(`${username} is no member of ${project.name}`, { exit: EXIT.not_found })
    await withSession(call, client, (each) =>
      each.call('DELETE /v1/projects/{id}/members/{user_id}', {
        params: { ...params, user_id: member.user_id },
      }),
    )
    call.output.note(`${member.username} is no member of ${project.name} any more.`)
  },
})

export const members: VerbGroup = {
  about: 'The members of a project and their roles.',
  verbs: { ls: list, add, rm: remove },
  usual: 'ls',
}
