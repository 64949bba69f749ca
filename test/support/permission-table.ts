import type { Operation } from '../../src/http/openapi/operation.ts'
import type { OpenApiDocument } from '../../src/http/openapi/document.ts'
import type { Server } from '../../src/http/server.ts'
import { AppError } from '../../src/lib/errors.ts'
import { ADMIN_TOKEN, type Method, type OpenedApp } from './app.ts'
import { makeWorld, pathIn, type World } from './world.ts'

/** What a request of the sweep gets when it is let in: nothing behind the access check runs. */
export const LET_IN = 'RUNTIME_UNAVAILABLE'

export interface Gate {
  /** Whether nothing behind the access check runs. */
  closed: boolean
}

/** Makes the server answer every request that is let in with LET_IN while the gate is closed. */
export function addGate(server: Server, gate: Gate): void {
  server.addHook('preParsing', async (request) => {
    if (gate.closed && request.routeOptions.config.access !== undefined) throw new AppError(LET_IN)
  })
}

export const CALLERS = [
  'nobody',
  'signed in',
  'viewer',
  'operator',
  'admin',
  'super-admin',
  "super-admin's token",
  'install admin token',
] as const
export type Caller = (typeof CALLERS)[number]

export interface Row {
  operation: Operation
  method: Method
  path: string
  /** The error code that each caller gets, or LET_IN. */
  answers: Record<Caller, string>
}

/** Sends every operation of the document as every caller. */
export async function sweep(
  app: OpenedApp,
  document: OpenApiDocument,
  gate: Gate,
): Promise<{ rows: Row[]; world: World }> {
  const world = await makeWorld(app)
  const token = String(
    (await app.must(world.root, 'POST', '/v1/api-tokens', { name: 'sweep' })).body['token'],
  )
  const tokens: Record<Caller, string | undefined> = {
    nobody: undefined,
    'signed in': world.sessions.nobody_special,
    viewer: world.sessions.viewer,
    operator: world.sessions.operator,
    admin: world.sessions.admin,
    'super-admin': world.root,
    "super-admin's token": token,
    'install admin token': ADMIN_TOKEN,
  }
  gate.closed = true
  const rows: Row[] = []
  for (const { path, method, operation } of operationsOf(document)) {
    const answers = {} as Row['answers']
    for (const caller of CALLERS) {
      const answer = await app.send(tokens[caller], method, pathIn(world, path))
      answers[caller] = answer.body.error ?? String(answer.status)
    }
    rows.push({ operation, method, path, answers })
  }
  return { rows, world }
}

export function operationsOf(
  document: OpenApiDocument,
): { path: string; method: Method; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      path,
      method: method.toUpperCase() as Method,
      operation,
    })),
  )
}

const INTRODUCTION = `# Who may do what

Made by \`npm run openapi\` from requests of each caller to each route, with ids of a project in which the viewer, the operator and the admin
are members and the others are not. \`yes\`: the request is let in; what its body names is then checked again, in the project that it names.
Some requests ask for a second permission by what they change (openapi.json says which); every role here that has the first has it too.
A number is the status of the refusal: 401 nobody is known, 403 a permission is missing or a session is needed, 404 the caller may not know
that it exists. Custom roles are any other choice of the permissions (\`GET /v1/permissions\`). An API token may at most what its user may.

| request | ${CALLERS.join(' | ')} |
|---|${CALLERS.map(() => '---|').join('')}
`

const STATUSES: Readonly<Record<string, string>> = {
  [LET_IN]: 'yes',
  UNAUTHENTICATED: '401',
  FORBIDDEN: '403',
  SESSION_REQUIRED: '403',
  NOT_FOUND: '404',
}

export function showTable(rows: readonly Row[]): string {
  const lines = rows.map(({ method, path, answers }) => {
    const cells = CALLERS.map((caller) => STATUSES[answers[caller]] ?? answers[caller])
    return `| \`${method} ${path}\` | ${cells.join(' | ')} |\n`
  })
  return INTRODUCTION + lines.join('')
}
