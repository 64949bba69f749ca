import { ApiError, UsageError } from '../cli-error.ts'
import { queryText } from '../../api-client/route.ts'
import { readFailure, readJson, unreachable } from '../http-answer.ts'
import { plainJson, plainLines } from '../plain-text.ts'
import { type Call, defineVerb } from '../verb.ts'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD']
const LARGEST_BODY = 16 * 1024 ** 2

const OPTIONS = {
  data: { type: 'string', short: 'd', value: 'JSON', about: 'The body; - reads it from stdin' },
  query: { type: 'string', multiple: true, value: 'NAME=VALUE', about: 'A query parameter' },
  header: { type: 'string', short: 'H', multiple: true, value: 'NAME: VALUE', about: 'A header' },
} as const

export const api = defineVerb({
  usage: 'api [METHOD] PATH',
  about:
    'Sends a request to the API with your login and prints the answer. METHOD is GET unless given, or POST with --data. GET /v1/openapi.json describes all paths.',
  options: OPTIONS,
  operands: [1, 2],
  examples: [
    'berth api /v1/me',
    'berth api GET /v1/services --query limit=5',
    `berth api PATCH /v1/services/ID -d '{"replicas":2}'`,
    'berth api POST /v1/projects -d - < project.json',
  ],
  run: async (call) => {
    const { method, path } = readTarget(call)
    const body = call.flags.data === '-' ? await call.terminal.readInput(LARGEST_BODY) : call.flags.data
    if (body !== undefined) requireJson(body)
    const headers = {
      accept: '*/*',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...Object.fromEntries(call.flags.header.map(readHeader)),
    }
    const client = await call.connect()
    const response = await client.fetch(method, path, {
      headers,
      unlimited: true,
      ...(body === undefined ? {} : { body }),
    })
    if (!response.ok) throw new ApiError(await readFailure(client.origin, response))
    await print(call, client.origin, response)
  },
})

function readTarget({ operands, flags }: Call<typeof OPTIONS>): { method: string; path: string } {
  const [first = '', second] = operands
  const usual = flags.data === undefined ? 'GET' : 'POST'
  const [method, path] = second === undefined ? [usual, first] : [first.toUpperCase(), second]
  if (!METHODS.includes(method)) throw new UsageError(`${first} is not a method: ${METHODS.join(', ')}`)
  if (!path.startsWith('/'))
    throw new UsageError(`${path} is not a path: it begins with a slash, such as /v1/me`)
  const query = queryText(Object.fromEntries(flags.query.map((each) => readPair(each, '=', '--query'))))
  return {
    method,
    path: query === '' ? path : `${path}${path.includes('?') ? query.replace('?', '&') : query}`,
  }
}

function readPair(text: string, separator: string, option: string): [string, string] {
  const at = text.indexOf(separator)
  if (at < 1) throw new UsageError(`${option} ${text} is not NAME${separator}VALUE`)
  return [text.slice(0, at), text.slice(at + 1).trim()]
}

function readHeader(text: string): [string, string] {
  const [name, value] = readPair(text, ':', '--header')
  if (!/^[\w-]+$/.test(name) || /[^\t\x20-\x7e]/.test(value))
    throw new UsageError(`--header ${name}: that cannot be a header`)
  return [name.toLowerCase(), value]
}

function requireJson(body: string): void {
  try {
    JSON.parse(body)
  } catch (error) {
    throw new UsageError(`the body is not JSON: ${(error as Error).message}`)
  }
}

async function print(
  { output, signal }: Call<typeof OPTIONS>,
  origin: string,
  response: Response,
): Promise<void> {
  const type = response.headers.get('content-type') ?? ''
  try {
    if (/^application\/([\w.]+\+)?json\b/.test(type)) {
      const value = await readJson(origin, response)
      if (value !== undefined) output.data(value, () => plainJson(value, 2))
      return
    }
    const decoder = new TextDecoder()
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      // Bytes for a file or a program; on a terminal nothing may steer it.
      await output.raw(
        output.isTerminal ? Buffer.from(plainLines(decoder.decode(chunk, { stream: true }))) : chunk,
      )
    }
  } catch (error) {
    throw unreachable(origin, error, signal)
  }
}
