import { mkdir, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import { type OpenedApp, openApp } from './app.ts'
import { newPerson, type Person } from './berth-command.ts'

/** A daemon over a fake engine that listens, and its first administrator with a folder of their own. */
export interface CliDaemon {
  app: OpenedApp
  person: Person
  /** A session of the administrator. */
  token: string
  /** Writes a file into the person's folder, which is where their commands run. */
  write(path: string, text: string): Promise<void>
}

export async function openCliDaemon(t: Test): Promise<CliDaemon> {
  const app = await openApp()
  t.teardown(() => app.close())
  const token = await app.bootstrap()
  await app.server.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.server.address() as AddressInfo
  const person = await newPerson(t, { BERTH_URL: `http://127.0.0.1:${port}`, BERTH_TOKEN: token })
  return {
    app,
    person,
    token,
    write: async (path, text) => {
      const file = join(person.home, path)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, text)
    },
  }
}
