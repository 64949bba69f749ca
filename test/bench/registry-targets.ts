import { execFileSync } from 'node:child_process'
import { sign, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { forkRegistryServer, killServer } from '../support/registry-server.ts'

export const MIB = 1024 ** 2

/** A registry under measurement. */
export interface Target {
  origin: string
  pid: number
  authorization: string
  /** A call of the API beside /v2, which only Berth has. */
  call: { path: string; authorization: string } | undefined
  stop: () => Promise<void>
}

/** Berth's registry as the daemon has it, in a process of its own. */
export async function startBerth(): Promise<Target> {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-bench-'))
  const server = await forkRegistryServer({ dataDir })
  const scope = 'repository:demo/bench:pull,push'
  const basic = Buffer.from(`x:${server.token}`).toString('base64')
  const answer = await fetch(`${server.origin}/v2/token?scope=${scope}`, {
    headers: { authorization: `Basic ${basic}` },
  })
  const { token } = (await answer.json()) as { token: string }
  return {
    origin: server.origin,
    pid: server.child.pid ?? 0,
    authorization: `Bearer ${token}`,
    call: { path: '/v1/me', authorization: `Bearer ${server.token}` },
    stop: async () => {
      await killServer(server)
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

/** The reference verifies a signature of ES256 with each request, as it does behind any token service. */
export async function startOther(): Promise<Target> {
  const directory = mkdtempSync(join(tmpdir(), 'reference-bench-'))
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=bench',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'ignore' },
  )
  const registry = await startDockerRegistry({
    auth: `auth: {token: {realm: "http://127.0.0.1/token", service: bench, issuer: bench, rootcertbundle: ${cert}}}`,
  })
  const x5c = [new X509Certificate(readFileSync(cert)).raw.toString('base64')]
  const now = Math.floor(Date.now() / 1000)
  const access = [{ type: 'repository', name: 'demo/bench', actions: ['pull', 'push'] }]
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = {
    iss: 'bench',
    sub: 'x',
    aud: 'bench',
    exp: now + 36_000,
    nbf: now - 10,
    iat: now,
    jti: 'x',
    access,
  }
  const signed = `${encode({ typ: 'JWT', alg: 'ES256', x5c })}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(signed), { key: readFileSync(key), dsaEncoding: 'ieee-p1363' })
  return {
    origin: registry.origin,
    pid: registry.pid,
    authorization: `Bearer ${signed}.${signature.toString('base64url')}`,
    call: undefined,
    stop: async () => {
      await registry.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
