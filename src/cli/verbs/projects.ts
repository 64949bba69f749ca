import { confirmRemoval } from '../confirmation.ts'
import { cell } from '../output.ts'
import { requireProject } from '../service-reference.ts'
import { defineVerb, type VerbGroup } from '../verb.ts'

const list = defineVerb({
  usage: 'projects ls',
  about: 'Lists the projects that you may see, the newest first.',
  options: {},
  operands: [0, 0],
  examples: ['berth projects ls'],
  run: async ({ connect, output }) => {
    const projects = await (await connect()).list('GET /v1/projects')
    output.data(projects, () => {
      if (projects.length === 0) return ''
      return output.table(
        ['PROJECT', 'DESCRIPTION', 'CREATED', 'ID'],
        projects.map((each) => [
          cell(each.name),
          cell(each.description).slice(0, 60),
          cell(each.created_at),
          cell(each.id),
        ]),
      )
    })
    if (projects.length === 0) output.note('You are a member of no project.')
  },
})

const create = defineVerb({
  usage: 'projects create NAME',
  about: 'Makes a project. Needs a super-admin.',
  options: { description: { type: 'string', value: 'TEXT', about: 'What it is for' } },
  operands: [1, 1],
  examples: ['berth projects create shop --description "the web shop"'],
  run: async ({ connect, flags, operands: [name = ''], output }) => {
    const client = await connect()
    const { description } = flags
    const project = await client.call('POST /v1/projects', {
      body: { name, ...(description === undefined ? {} : { description }) },
    })
    output.data(project, () => '')
    output.note(`Made the project ${name}.`)
  },
})

const remove = defineVerb({
  usage: 'projects rm NAME',
  about: 'Removes a project that has no services left.',
  options: { yes: { type: 'boolean', short: 'y', about: 'Do not ask' } },
  operands: [1, 1],
  examples: ['berth projects rm shop --yes'],
  run: async (call) => {
    const client = await call.connect()
    const project = await requireProject(client, call.operands[0] ?? '')
    await confirmRemoval(call, call.flags.yes, `project ${project.name}`)
    await client.call('DELETE /v1/projects/{id}', { params: { id: project.id } })
    call.output.note(`${project.name} is gone.`)
  },
})

export const projects: VerbGroup = {
  about: 'Projects: who may do what with which services.',
  verbs: { ls: list, create, rm: remove },
  usual: 'ls',
}
