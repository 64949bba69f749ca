import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import type { Test } from 'tap'
import { buffer } from 'node:stream/consumers'
import { pack as tar } from 'tar-stream'

export interface TestRegistry {
  /** As containers of the engine's default bridge reach it. */
  url: string
  /** The lines of a package-lock.json about the packages. */
  locked: Record<string, object>
  /** Paths that were asked for. */
  requests: string[]
}

/** An npm registry with these packages (`name` -> files), reachable from builds: tests need no internet. */
export async function startRegistry(
  t: Test,
  packages: Record<string, Record<string, string>>,
): Promise<TestRegistry> {
  const host = await bridgeAddress()
  const requests: string[] = []
  const tarballs = new Map<string, Buffer>()
  for (const [name, files] of Object.entries(packages)) {
    const manifest = JSON.stringify({ name, version: '1.0.0', ...parse(files['package.json']) })
    tarballs.set(name, await pack({ ...files, 'package.json': manifest }))
  }
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    const [, name = '', file] = (request.url ?? '').split('/')
    const tarball = tarballs.get(name)
    if (!tarball) return response.writeHead(404).end('{}')
    if (file !== undefined) return response.end(tarball)
    const { port } = server.address() as AddressInfo
    const version = {
      name,
      version: '1.0.0',
      ...parse(packages[name]?.['package.json']),
      dist: { tarball: `http://${host}:${port}/${name}/${name}-1.0.0.tgz`, integrity: integrityOf(tarball) },
    }
    return response
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ name, 'dist-tags': { latest: '1.0.0' }, versions: { '1.0.0': version } }))
  })
  server.listen(0, '0.0.0.0')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://${host}:${(server.address() as AddressInfo).port}/`
  const locked = Object.fromEntries(
    [...tarballs].map(([name, tarball]) => [
      `node_modules/${name}`,
      {
        version: '1.0.0',
        resolved: `${url}${name}/${name}-1.0.0.tgz`,
        integrity: integrityOf(tarball),
        ...parse(packages[name]?.['package.json']),
      },
    ]),
  )
  return { url, locked, requests }
}

/** The host on the bridge that the engine builds on: the gateway, by default the first address of its subnet. */
async function bridgeAddress(): Promise<string> {
  const { stdout } = await promisify(execFile)('docker', [
    'network',
    'inspect',
    '-f',
    '{{json .IPAM.Config}}',
    'bridge',
  ])
  const [config] = JSON.parse(stdout) as { Subnet: string; Gateway?: string }[]
  const address = config?.Gateway ?? config?.Subnet.replace(/\.0\/\d+$/, '.1')
  if (address === undefined) throw new Error("the engine's default bridge has no address")
  return address
}

function parse(json: string | undefined): object {
  return json === undefined ? {} : (JSON.parse(json) as object)
}

function integrityOf(bytes: Buffer): string {
  return `sha512-${createHash('sha512').update(bytes).digest('base64')}`
}

async function pack(files: Record<string, string>): Promise<Buffer> {
  const archive = tar()
  for (const [name, text] of Object.entries(files))
    archive.entry({ name: `package/${name}`, mode: 0o755 }, text)
  archive.finalize()
  return gzipSync(await buffer(archive))
}
