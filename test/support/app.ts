import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { type App, createApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import type { Server } from '../../src/http/server.ts'
import { createSystem, type System } from '../../src/lib/system.ts'
import { createFakeRuntime, type FakeControls } from '../../src/runtime/fake-runtime.ts'
import { seedDatabase } from './migrated-database.ts'
import { seedWorkerCode } from './worker-code.ts'

export const ADMIN_TOKEN = 'bth_adm_of-the-tests-0123456789'
export const PASSWORD = 'a long enough password'

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS'

export interface Answer {
  status: number
  body: Record<string, unknown> & { error?: string; details?: { field?: string; message: string }[] }
  list: Record<string, unknown>[]
  text: string
  headers: Record<string, string | string[] | number | undefined>
}

export interface OpenedApp {
  app: App
  server: Server
  controls: FakeControls
  dataDir: string
  send(
    token: string | undefined,
    method: Method,
    url: string,
    payload?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>
  /** Sends and throws unless the status is below 300. */
  must(
    token: string | undefined,
    method: Method,
    url: string,
    payload?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>
  login(username: string, password?: string): Promise<string>
  /** Makes the first administrator and answers a session of theirs. */
  bootstrap(): Promise<string>
  log(): string
  close(): Promise<void>
}

/** The whole daemon over a fake engine: every route, nothing listening and no background work. */
export async function openApp(
  options: {
    system?: System
    environment?: Record<string, string>
    /** Adds hooks or routes. */
    prepare?: (server: Server) => void
  } = {},
): Promise<OpenedApp> {
  const dataDir = await mkdtemp(join(tmpdir(), 'berth-app-'))
  seedDatabase(join(dataDir, 'berth.db'))
  await seedWorkerCode(dataDir)
  const system = options.system ?? createSystem()
  const config = loadConfig({
    BERTH_DATA_DIR: dataDir,
    BERTH_ADMIN_TOKEN: ADMIN_TOKEN,
    BERTH_BIND: '127.0.0.1:0',
    BERTH_HTTPS_PORT: '0',
    BERTH_RATE_LIMIT_PER_MINUTE: '10000000',
    ...options.environment,
  })
  const { runtime, controls } = createFakeRuntime({ system })
  let logged = ''
  const log = pino({ level: 'trace' }, { write: (line: string) => void (logged += line) })
  const app = await createApp({ config, log, system, runtime })
  options.prepare?.(app.server)
  await app.server.ready()

  const send: OpenedApp['send'] = async (token, method, url, payload, headers = {}) => {
    const response = await app.server.inject({
      method,
      url,
      headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
      ...(payload === undefined ? {} : { payload: payload as object }),
    })
    const body = parse(response.body)
    return {
      status: response.statusCode,
      body: body as Answer['body'],
      list: body as Answer['list'],
      text: response.body,
      headers: response.headers,
    }
  }
  const must: OpenedApp['must'] = async (token, method, url, payload, headers) => {
    const answer = await send(token, method, url, payload, headers)
    if (answer.status >= 300) throw new Error(`${method} ${url}: ${answer.status} ${answer.text}`)
    return answer
  }
  const login: OpenedApp['login'] = async (username, password = PASSWORD) =>
    String((await must(undefined, 'POST', '/v1/auth/login', { username, password })).body['token'])

  return {
    app,
    server: app.server,
    controls,
    dataDir,
    send,
    must,
    login,
    bootstrap: async () => {
      await must(ADMIN_TOKEN, 'POST', '/v1/bootstrap', { username: 'root', password: PASSWORD })
      return login('root')
    },
    log: () => logged,
    close: async () => {
      await app.server.close()
      await app.stop({ keepIngress: false })
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}
