import { cell } from '../output.ts'
import { plain } from '../plain-text.ts'
import { defineVerb } from '../verb.ts'

export const whoami = defineVerb({
  usage: 'whoami',
  about: 'Shows who you are signed in as, where, and what your roles are.',
  options: {},
  operands: [0, 0],
  examples: ['berth whoami'],
  run: async ({ connect, output }) => {
    const client = await connect()
    const me = await client.call('GET /v1/me')
    output.data({ url: client.origin, ...me }, () => {
      const { principal, is_super_admin: isSuperAdmin, memberships } = me
      const via = principal.via === undefined ? '' : `, by ${plain(principal.via).replaceAll('_', ' ')}`
      const first = `${plain(principal.username)} on ${client.origin}${isSuperAdmin ? ', super-admin' : ''}${via}`
      if (memberships.length === 0) return first
      const rows = memberships.map((each) => [
        cell(each.project_name ?? each.project_id),
        cell(each.role_name ?? each.role),
      ])
      return `${first}\n\n${output.table(['PROJECT', 'ROLE'], rows)}`
    })
  },
})
