import { ApiError, CliError, EXIT } from './cli-error.ts'
import type { Client } from './client.ts'
import { cell } from './output.ts'
import { isId, type Service } from './wire.ts'

/** The id of a deployment that is given by its number or its id. Throws a CliError when the service has none of that number. */
export async function findRelease(client: Client, service: Service, given: string): Promise<string> {
  if (isId(given)) return given
  const all = await client.list('GET /v1/services/{id}/deployments', { params: { id: service.id } })
  const found = all.find(({ number }) => String(number) === given)
  if (found) return found.id
  throw new CliError(`${service.name} has no deployment ${given}`, {
    exit: EXIT.not_found,
    hints: ['berth releases lists them.'],
  })
}

/** Answers the number of a release for its id, asking once for each; the id itself where deployments may not be seen or are gone, or the server is away. */
export function createReleaseNumbers(client: Client): (id: string | null) => Promise<string> {
  const known = new Map<string, string>()
  return async (id) => {
    if (id === null) return '-'
    const found = known.get(id) ?? (await askNumber(client, id))
    if (found === undefined) return cell(id)
    known.set(id, found)
    return found
  }
}

/** Undefined: it could not be asked now. */
async function askNumber(client: Client, id: string): Promise<string | undefined> {
  try {
    return `#${(await client.call('GET /v1/deployments/{id}', { params: { id } })).number}`
  } catch (error) {
    if (error instanceof ApiError && (error.exit === EXIT.refused || error.exit === EXIT.not_found))
      return cell(id)
    // Whoever follows requests goes on when the server is back.
    if (error instanceof CliError && error.exit === EXIT.unavailable) return undefined
    throw error
  }
}
