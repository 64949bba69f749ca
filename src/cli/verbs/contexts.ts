import { namedContext } from '../connection.ts'
import { cell } from '../output.ts'
import { defineVerb, type VerbGroup } from '../verb.ts'

const list = defineVerb({
  usage: 'contexts ls',
  about: 'Lists the saved logins. The one in use is marked with *.',
  options: {},
  operands: [0, 0],
  examples: ['berth contexts ls'],
  run: async ({ contexts, output }) => {
    const saved = await contexts.read()
    const rows = Object.entries(saved.contexts).map(([name, { url, username, kind, token, expires_at }]) => ({
      name,
      url,
      username: username ?? null,
      kind: kind ?? null,
      signed_in: token !== undefined,
      expires_at: expires_at ?? null,
      current: name === saved.current,
    }))
    output.data(rows, () => {
      if (rows.length === 0) return ''
      return output.table(
        ['', 'NAME', 'URL', 'USER', 'EXPIRES'],
        rows.map((row) => [
          row.current ? '*' : '',
          cell(row.name),
          cell(row.url),
          row.signed_in ? cell(row.username) : 'signed out',
          cell(row.expires_at),
        ]),
      )
    })
    if (rows.length === 0) output.note('There is no saved login yet: berth login URL')
  },
})

const use = defineVerb({
  usage: 'contexts use NAME',
  about: 'Makes a saved login the one that commands use.',
  options: {},
  operands: [1, 1],
  examples: ['berth contexts use apps.example.com'],
  run: async ({ contexts, operands: [name = ''], output }) => {
    await contexts.change((saved) => {
      saved.current = namedContext(saved, name).name
    })
    output.note(`Commands now use ${name}.`)
  },
})

const remove = defineVerb({
  usage: 'contexts rm NAME',
  about: 'Forgets a saved login. The server is not told: berth logout does that.',
  options: {},
  operands: [1, 1],
  examples: ['berth contexts rm apps.example.com'],
  run: async ({ contexts, operands: [name = ''], output }) => {
    await contexts.change((saved) => {
      namedContext(saved, name)
      saved.contexts = Object.fromEntries(Object.entries(saved.contexts).filter(([each]) => each !== name))
      if (saved.current === name) delete saved.current
    })
    output.note(`${name} is forgotten.`)
  },
})

export const contexts: VerbGroup = {
  about:
    'Saved logins, one for each server. They lie in $XDG_CONFIG_HOME/berth/config.json, readable by you only.',
  verbs: { ls: list, use, rm: remove },
  usual: 'ls',
}
