import { CliError, EXIT } from './cli-error.ts'
import type { Client } from './client.ts'
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
