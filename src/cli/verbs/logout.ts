import { CliError, EXIT } from '../cli-error.ts'
import { createClient } from '../client.ts'
import { findConnection } from '../connection.ts'
import type { Context } from '../context-file.ts'
import { defineVerb, type Surroundings } from '../verb.ts'
import { VERSION } from '../version.ts'

export const logout = defineVerb({
  usage: 'logout',
  about:
    'Signs out: ends the session, or revokes the API token that the login made, on the server, and forgets it here.',
  options: {},
  operands: [0, 0],
  examples: ['berth logout', 'berth logout --context apps.example.com'],
  run: async (call) => {
    const { contexts, contextName, environment, output } = call
    const ignoreToken = { ...environment, token: undefined }
    const { context } = findConnection(ignoreToken, await contexts.read(), contextName)
    if (!context?.token) throw new CliError('you are not signed in there', { exit: EXIT.refused })
    await endLogin(call, context)
    await contexts.change((saved) => {
      const { url, username } = context
      saved.contexts[context.name] = { url, ...(username === undefined ? {} : { username }) }
    })
    output.note(`Signed out of ${context.url}.`)
  },
})

/** Makes a saved token useless on its server. When that cannot be done the user is told, and goes on. */
export async function endLogin(
  { system, signal, output }: Pick<Surroundings, 'system' | 'signal' | 'output'>,
  { url, token, kind, token_id: tokenId }: Context,
): Promise<void> {
  const client = createClient({ origin: new URL(url).origin, token, system, version: VERSION, signal })
  try {
    if (kind === 'session') await client.call('POST /v1/auth/logout')
    else if (tokenId !== undefined)
      await client.call('DELETE /v1/api-tokens/{token_id}', { params: { token_id: tokenId } })
    else output.warn('the token was not made by berth login, so it stays valid on the server')
  } catch (error) {
    if (!(error instanceof CliError) || signal.aborted) throw error
    const isGone = error.exit === EXIT.refused || error.exit === EXIT.not_found
    if (!isGone) output.warn(`the server was not told: ${error.message}`)
  }
}
