import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'
import type { Installation } from './daemon.ts'
import { waitFor } from './wait.ts'

export interface Deployment {
  id: string
  number: number
  status: string
  step: string | null
  reason: string | null
}

/** Makes a service and answers its id. */
export async function createService(
  berth: Installation,
  name: string,
  fields: Record<string, unknown> = {},
): Promise<string> {
  const service = await berth.call<{ id: string }>('POST', '/v1/services', {
    name,
    source: { type: 'upload' },
    ...fields,
  })
  return service.id
}

/** Uploads files and asks for a deployment of them. */
export async function deployFiles(
  berth: Installation,
  serviceId: string,
  files: Record<string, string>,
  fields: { canary_percent?: number } = {},
): Promise<Deployment> {
  const archive = pack()
  for (const [name, contents] of Object.entries(files)) archive.entry({ name }, contents)
  archive.finalize()
  const response = await fetch(`${berth.api()}/v1/services/${serviceId}/uploads`, {
    method: 'POST',
    headers: { authorization: `Bearer ${berth.token()}`, 'content-type': 'application/x-tar' },
    body: new Uint8Array(await buffer(archive)),
  })
  if (response.status !== 201) throw new Error(`upload: ${response.status} ${await response.text()}`)
  const { upload_id } = (await response.json()) as { upload_id: string }
  return berth.call('POST', '/v1/deployments', {
    service_id: serviceId,
    source: { type: 'upload', upload_id },
    ...fields,
  })
}

/** Waits until a deployment is over, and answers how it ended. */
export async function waitForEnd(berth: Installation, id: string, deadlineMs = 180_000): Promise<Deployment> {
  return waitFor(
    `the end of deployment ${id}`,
    async () => {
      const deployment = await berth.call<Deployment>('GET', `/v1/deployments/${id}`)
      return deployment.step === null && deployment
    },
    deadlineMs,
  )
}

/** The whole log of a deployment as one text. */
export async function readDeploymentLog(berth: Installation, id: string): Promise<string> {
  const lines = await berth.call<{ line: string }[]>('GET', `/v1/deployments/${id}/logs?limit=1000`)
  return lines.map(({ line }) => line).join('\n')
}

/** The files of an HTTP application without dependencies, which answers with `text`, after `delayMs`. */
export function application(
  text: string,
  options: { delayMs?: number; healthStatus?: number } = {},
): Record<string, string> {
  return {
    'package.json': JSON.stringify({ name: 'app', version: '1.0.0', scripts: { start: 'node server.mjs' } }),
    'server.mjs': `
      import { createServer } from 'node:http'
      const server = createServer((request, response) => {
        const health = request.url === '/healthz'
        response.statusCode = health ? ${options.healthStatus ?? 200} : 200
        setTimeout(() => response.end(${JSON.stringify(text)}), health ? 0 : ${options.delayMs ?? 0})
      })
      server.listen(process.env.PORT, () => console.log('listening on', process.env.PORT, ${JSON.stringify(text)}))
      process.on('SIGTERM', () => { console.log('got SIGTERM'); server.close(() => process.exit(0)) })
    `,
  }
}
