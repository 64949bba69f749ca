import { spawn } from 'node:child_process'
import { hostname } from 'node:os'
import { CliError } from '../cli-error.ts'
import { serverNow } from '../moment.ts'
import { withSession } from '../session.ts'
import { defineVerb } from '../verb.ts'

const YEAR_MS = 365 * 86_400_000

export const registryLogin = defineVerb({
  usage: 'registry login',
  about:
    'Makes an API token that may pull and push, and hands it to docker login (or podman login). The token is valid for a year and stands in berth tokens ls.',
  options: {
    with: { type: 'string', value: 'PROGRAM', about: 'docker (unless given), podman, buildah or skopeo' },
  },
  operands: [0, 0],
  examples: ['berth registry login', 'berth registry login --with podman'],
  run: async (call) => {
    const program = call.flags.with ?? 'docker'
    const client = await call.connect()
    const { principal } = await client.call('GET /v1/me')
    const body = {
      name: `${program} on ${hostname()}`.slice(0, 60),
      permissions: ['registry.pull' as const, 'registry.push' as const],
      expires_at: new Date((await serverNow(call, client)) + YEAR_MS).toISOString(),
    }
    const { host, protocol } = new URL(client.origin)
    await withSession(call, client, async (each) => {
      const { id, token } = await each.call('POST /v1/api-tokens', { body })
      try {
        await logIn(program, host, principal.username, token, protocol === 'http:')
      } catch (error) {
        await each
          .call('DELETE /v1/api-tokens/{token_id}', { params: { token_id: id } })
          .catch(() => call.output.note(`Its API token is left over: berth tokens rm ${id}`))
        throw error
      }
    })
    call.output.note(`${program} may push to and pull from ${host} now.`)
  },
})

/** The token goes through standard input: arguments can be read by everyone on the machine. */
function logIn(program: string, host: string, user: string, token: string, isPlain: boolean): Promise<void> {
  // Docker takes plain HTTP on loopback by itself; the others ask to be told.
  const plain = isPlain && program !== 'docker' ? ['--tls-verify=false'] : []
  const child = spawn(program, ['login', ...plain, '--username', user, '--password-stdin', host], {
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let said = ''
  child.stderr.on('data', (piece: Buffer) => {
    said = `${said}${piece.toString()}`.slice(-2000)
  })
  child.on('error', () => reject(new CliError(`${program} could not be started; is it installed?`)))
  child.on('close', (code) => {
    if (code === 0) resolve()
    else reject(new CliError(`${program} login failed: ${said.trim().split('\n').at(-1) ?? ''}`))
  })
  child.stdin.on('error', () => {})
  child.stdin.end(token)
  return promise
}
