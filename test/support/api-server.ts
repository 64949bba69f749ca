import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { route } from './api-routes.ts'
import { type ApiServer, type Handler, Refusal, refuse, type SeenRequest } from './api-wire.ts'

export { answer, refuse, sendEvents } from './api-wire.ts'
export type { ApiServer, SeenRequest } from './api-wire.ts'

export const ADMIN_TOKEN = 'berth_admin_0123456789012345678901234567890123'
export const PASSWORD = 'correct horse battery staple'
/** A good API token of alice, who may do everything. */
export const ALICE = 'berth_token_alice'

/** Starts the server; it ends with the test. */
export async function startApiServer(t: Test): Promise<ApiServer> {
  const overrides = new Map<string, { handler: Handler; left: number }>()
  const server = createServer((raw, response) => {
    void serve(raw, response).catch((error: unknown) => {
      if (error instanceof Refusal) refuse(response, error.status, error.code, error.message)
      else response.destroy(error as Error)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const api: ApiServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    on: (target, handler, times = Number.POSITIVE_INFINITY) =>
      void overrides.set(target, { handler, left: times }),
    users: new Map([['alice', { id: randomUUID(), password: PASSWORD, super_admin: true }]]),
    tokens: new Map([
      [ALICE, { id: randomUUID(), username: 'alice', kind: 'api_token', name: 'given' }],
      [ADMIN_TOKEN, { id: randomUUID(), username: 'admin', kind: 'admin_token', name: 'install' }],
    ]),
    projects: [
      { id: randomUUID(), name: 'default', description: '', created_at: '2026-11-21T08:00:00.000Z' },
    ],
    services: [],
    deployments: [],
    uploaded: [],
    deploymentLog: ['fetching', 'Step 1/2 : FROM base', 'checking'],
    deploymentEnd: { status: 'Healthy', reason: null },
    initialized: true,
    close: () => closeServer(server),
  }
  t.teardown(() => api.close())

  const serve = async (raw: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(`${api.url}${raw.url}`)
    const isUpload = raw.method === 'POST' && url.pathname.endsWith('/uploads')
    const request: SeenRequest = {
      method: raw.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: raw.headers,
      body: isUpload ? undefined : await readBody(raw),
    }
    api.requests.push(request)
    const override = overrides.get(`${request.method} ${request.path}`)
    if (override && override.left > 0) {
      override.left -= 1
      await override.handler(request, response, raw)
      return
    }
    await route(api, request, response, raw)
  }
  return api
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => void server.close(resolve))
}

async function readBody(raw: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of raw as AsyncIterable<Buffer>) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  return text === '' ? undefined : JSON.parse(text)
}
