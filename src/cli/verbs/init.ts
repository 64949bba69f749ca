import { resolve } from 'node:path'
import { CliError, EXIT } from '../cli-error.ts'
import { LINK_FILE, readLink, writeLink } from '../link-file.ts'
import { chooseProject, findService } from '../service-reference.ts'
import { createService, nameOfFolder, PORT_OPTION, readSettings } from '../service-choice.ts'
import { defineVerb } from '../verb.ts'

export const init = defineVerb({
  usage: 'init [DIR]',
  about: `Makes a service and links the folder to it with a file ${LINK_FILE}, so that berth deploy, logs, releases and others need no name there. A service that exists already is linked as it is.`,
  options: {
    service: { type: 'string', short: 's', value: 'NAME', about: 'Its name, instead of that of the folder' },
    project: { type: 'string', short: 'p', value: 'PROJECT', about: 'Its project' },
    port: PORT_OPTION,
    yes: { type: 'boolean', short: 'y', about: 'Do not ask' },
  },
  operands: [0, 1],
  examples: ['berth init', 'berth init --service web --project shop --port 3000'],
  run: async (call) => {
    const { flags, terminal, output, directory, operands } = call
    const folder = resolve(directory, operands[0] ?? '.')
    const link = readLink(folder)
    if (link.service !== undefined) {
      throw new CliError(`${folder} is linked to the service ${link.service} already`, {
        exit: EXIT.conflict,
        hints: [`Change or remove ${LINK_FILE} there.`],
      })
    }
    const ask = terminal.interactive && !flags.yes
    const client = await call.connect()
    const usual = flags.service ?? nameOfFolder(folder)
    const name =
      ask && flags.service === undefined ? await terminal.ask('Name of the service:', usual) : usual
    const project = await chooseProject(client, flags.project ?? link.project)
    const settings = readSettings(
      ask && flags.port === undefined
        ? { port: await terminal.ask('Port that it listens on, or none:', '8080') }
        : flags,
    )
    const found = await findService(client, { project: project.name, service: name })
    if (found) output.note(`The service ${project.name}/${name} exists already, and stays as it is.`)
    const service =
      found ?? (await createService(call, client, project, name, { settings, image: undefined }))
    await writeLink(folder, { project: project.name, service: name })
    output.data(service, () => '')
    output.note(`Linked ${folder} to it in ${LINK_FILE}. Next: berth deploy`)
  },
})
